/*
 * file.h: the bytes of a file that a key names: certificates, keys, lists of
 * authorities. Internal to conf/.
 */
#ifndef CONF_FILE_H
#define CONF_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "conf/build.h"

struct file_bytes {
	uint8_t *p;
	size_t n;       /* the NUL at the end counted */
	bool everybody; /* every user of the machine may read it */
};

/*
 * Reads a regular file of at most max bytes and puts a NUL behind it. NULL
 * bytes and a complaint at the key when it cannot. No copy is left behind;
 * the bytes are freed with file_free, which wipes them.
 */
MUST_CHECK int file_read(struct builder *b, struct build_at at,
	const char *name, size_t max, struct file_bytes *out);
void file_free(uint8_t *p, size_t n);

#endif
