/*
 * build.h: a configuration on its way from files to a checked struct conf.
 * Internal to conf/: conf.c reads, check*.c judge, both complain through it.
 */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "conf/conf.h"
#include "conf/keys.h"

#define BUILD_ERRORS_MAX   100  /* lines that are shown */
#define BUILD_SECTIONS_MAX 1000 /* of one kind */
#define BUILD_NESTING_MAX  8    /* of includes */

/* One "key = value" line. */
struct build_pair {
	const struct key_row *row;
	size_t index;     /* of its section among its kind */
	const char *file; /* owned by the builder */
	int line;
	size_t until; /* elements that the list has after this line */
	bool bad;     /* its value was refused */
};

struct build_file {
	char *name; /* as shown in complaints */
	dev_t device;
	ino_t inode;
};

struct builder {
	struct conf *conf;
	struct buf *out;    /* complaints and warnings */
	size_t errors;      /* counted, also those that are not shown */
	size_t before_last; /* length of out before the last shown error */
	bool no_memory;
	bool bad_header;          /* a section is missing because of that */
	bool for_tokens;          /* what only TLS needs is not read */
	struct build_pair *pairs; /* in the order they were read */
	size_t pairs_n;
	struct build_file **files;
	size_t files_n;
	/* conf_reread: the sections with a complaint, by build_number. */
	bool *faulty;
	/* What the faulty ones take their files from; NULL: from the disk. */
	const struct conf *before;
};

/* What a complaint is about: a key of a section, or the section's header. */
struct build_at {
	enum keys_section section;
	size_t index;
	const char *key; /* NULL = the header */
	size_t element;  /* of a list */
};

/* Complains: "FILE:LINE: [section] key: ...". */
void build_error(struct builder *b, struct build_at at, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* The same as a warning, which does not make the configuration invalid. */
void build_warn(struct builder *b, struct build_at at, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* Complains of a line; what begins with the section where there is one. */
void build_error_line(struct builder *b, const char *file, int line,
	const char *format, ...) PRINTF_LIKE(4, 5);
/* Complains once that memory is out. */
void build_no_memory(struct builder *b);
/* Says how many complaints were not shown. */
void build_finish(struct builder *b);

/*
 * The line that set this key (of a list: this element); NULL when it has its
 * default.
 */
const struct build_pair *build_find(
	const struct builder *b, struct build_at at);
/* Whether a line that set this key was refused, which was a complaint. */
bool build_is_bad(const struct builder *b, struct build_at at);

/* The section's common part. */
struct conf_section *build_section(
	struct conf *c, enum keys_section s, size_t index);
/* The struct of a section, and how many there are. */
void *build_object(struct conf *c, enum keys_section s, size_t index);
size_t build_count(const struct conf *c, enum keys_section s);
/* Of all sections, one behind the other; that of SECTION_COUNT, 0 is their
 * number. */
size_t build_number(const struct conf *c, enum keys_section s, size_t index);

#endif
