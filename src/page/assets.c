/*
 * The assembler copies the files in: it takes them as they are, whatever
 * bytes they hold, and no generated source lies about. Their paths are
 * relative to the directory that make runs in; the Makefile knows that this
 * object depends on them.
 */
#include "page/assets.h"

/* .previous: the compiler's own section goes on behind. */
#define EMBED(symbol, file)                                                    \
	__asm__(".section .rodata\n" #symbol ":\n\t.incbin \"" file            \
		"\"\n" #symbol "_end:\n\t.previous\n");                        \
	extern const char symbol[] __attribute__((visibility("hidden")));      \
	extern const char symbol##_end[] __attribute__((visibility("hidden")))

EMBED(asset_wsrelay_js, "src/page/assets/wsrelay.js");
EMBED(asset_try_html, "src/page/assets/try.html");

struct str asset_get(struct str name)
{
	static const struct {
		struct str name;
		const char *p, *end;
	} assets[] = {
		{ { "wsrelay.js", 10 }, asset_wsrelay_js,
			asset_wsrelay_js_end },
		{ { "try.html", 8 }, asset_try_html, asset_try_html_end },
	};

	for (size_t i = 0; i < ARRAY_SIZE(assets); i++)
		if (str_eq(name, assets[i].name))
			return (struct str){ assets[i].p,
				(size_t)(assets[i].end - assets[i].p) };
	return STR_NONE;
}
