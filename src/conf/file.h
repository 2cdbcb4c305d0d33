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

struct file_bytes { /* of the snapshot that is being built */
	uint8_t *p;
	size_t n;       /* the NUL at the end counted */
	bool everybody; /* every user of the machine may read it */
};

/*
 * Reads a regular file of at most max bytes and puts a NUL behind it. -1 and a
 * complaint at the key when it cannot. The bytes are the snapshot's, as long as
 * it lives; no copy is left behind. For a faulty section of conf_reread it
 * gives what the snapshot before has read.
 */
MUST_CHECK int file_read(struct builder *b, struct build_at at,
	const char *name, size_t max, struct file_bytes *out);
/* Wipes and frees what was read for c. */
void file_free_all(struct conf *c);

#endif
