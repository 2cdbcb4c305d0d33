/*
 * mime.h: the media type of a file, by the extension of its name.
 */
#ifndef PAGE_MIME_H
#define PAGE_MIME_H

#include "base/compiler.h"
#include "base/str.h"
#include "page/template.h"

struct mime {
	const char *extension;
	const char *type; /* with its charset, as Content-Type has it */
	enum template_kind kind;
};

/* Never NULL: what is unknown is application/octet-stream. */
const struct mime *mime_of(struct str name);

#endif
