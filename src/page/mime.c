#include "page/mime.h"

#define UTF8 "; charset=utf-8"

/*
 * Text says that it is UTF-8, because a browser would else guess; JSON has no
 * charset parameter (RFC 8259 section 11), but old clients guess as well.
 */
static const struct mime types[] = {
	{ "html", "text/html" UTF8, TEMPLATE_HTML },
	{ "htm", "text/html" UTF8, TEMPLATE_HTML },
	{ "svg", "image/svg+xml" UTF8, TEMPLATE_SVG },
	{ "js", "text/javascript" UTF8, TEMPLATE_SCRIPT },
	{ "mjs", "text/javascript" UTF8, TEMPLATE_SCRIPT },
	{ "json", "application/json" UTF8, TEMPLATE_SCRIPT },
	{ "css", "text/css" UTF8, TEMPLATE_NONE },
	{ "png", "image/png", TEMPLATE_NONE },
	{ "jpg", "image/jpeg", TEMPLATE_NONE },
	{ "jpeg", "image/jpeg", TEMPLATE_NONE },
	{ "gif", "image/gif", TEMPLATE_NONE },
	{ "webp", "image/webp", TEMPLATE_NONE },
	{ "avif", "image/avif", TEMPLATE_NONE },
	{ "ico", "image/vnd.microsoft.icon", TEMPLATE_NONE },
	{ "wasm", "application/wasm", TEMPLATE_NONE },
	{ "txt", "text/plain" UTF8, TEMPLATE_NONE },
	{ "md", "text/markdown" UTF8, TEMPLATE_NONE },
	{ "csv", "text/csv" UTF8, TEMPLATE_NONE },
	{ "xml", "application/xml", TEMPLATE_NONE },
	{ "map", "application/json" UTF8, TEMPLATE_NONE },
	{ "pdf", "application/pdf", TEMPLATE_NONE },
	{ "mp4", "video/mp4", TEMPLATE_NONE },
	{ "webm", "video/webm", TEMPLATE_NONE },
	{ "woff2", "font/woff2", TEMPLATE_NONE },
	{ "glb", "model/gltf-binary", TEMPLATE_NONE },
	{ "gltf", "model/gltf+json", TEMPLATE_NONE },
	{ "bin", "application/octet-stream", TEMPLATE_NONE },
};

static const struct mime unknown = { "", "application/octet-stream",
	TEMPLATE_NONE };

const struct mime *mime_of(struct str name)
{
	size_t dot = name.n;
	struct str extension;

	while (dot > 0 && name.p[dot - 1] != '.' && name.p[dot - 1] != '/')
		dot--;
	if (dot == 0 || name.p[dot - 1] == '/')
		return &unknown;
	extension = (struct str){ name.p + dot, name.n - dot };
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_eq_nocase(extension, str_of(types[i].extension)))
			return &types[i];
	return &unknown;
}
