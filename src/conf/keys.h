/*
 * keys.h: the table of keys.def as data.
 */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/str.h"

enum keys_section {
	SECTION_SERVER,
	SECTION_LISTEN,
	SECTION_CERTIFICATE,
	SECTION_KEY,
	SECTION_PAGE,
	SECTION_ROUTE,
	SECTION_ATTACH,
	SECTION_COUNT
};

enum keys_type {
	TYPE_STRING,
	TYPE_PATH,      /* a file's name, kept absolute */
	TYPE_NAME,      /* of a section */
	TYPE_HOST,      /* a Host without its port */
	TYPE_AUTHORITY, /* a Host, perhaps with its port */
	TYPE_PARAMETER, /* of a query */
	TYPE_SUBJECT,   /* a token's sub */
	TYPE_URL,       /* scheme and authority, no path */
	TYPE_ANCESTORS, /* frame-ancestors of CSP */
	TYPE_BOOL,
	TYPE_SIZE,
	TYPE_TIME,
	TYPE_COUNT,
	TYPE_RATE, /* so many in a second, minute or hour */
	TYPE_MODE, /* rights of a file, in octal */
	TYPE_ENUM,
	/* lists: a repeated key appends */
	TYPE_STRINGS,     /* one per line, like those up to SUBJECTS */
	TYPE_PATHS,       /* of PATH */
	TYPE_HEADERS,     /* Name: value */
	TYPE_ENVIRONMENT, /* NAME=VALUE */
	TYPE_ADDRESSES,
	TYPE_SUBJECTS, /* of certificates: CN=alice, O=lab */
	TYPE_NAMES,    /* several per line, like all below */
	TYPE_HOSTS,
	TYPE_TOKENS, /* RFC 9110 section 5.6.2 */
	TYPE_EVENTS, /* of the log: base/log_kind.h */
	TYPE_ORIGINS,
	TYPE_CIDRS,
};

/* How a type is kept in its struct of conf.h. */
enum keys_storage {
	STORE_STRING,    /* char * */
	STORE_BOOL,      /* bool */
	STORE_NUMBER,    /* int64_t */
	STORE_RATE,      /* struct conf_rate */
	STORE_ENUM,      /* int */
	STORE_STRINGS,   /* struct conf_strings */
	STORE_CIDRS,     /* struct cidr_list */
	STORE_ADDRESSES, /* struct conf_addresses */
};

enum keys_flags {
	KEY_REQUIRED = 1 << 0, /* must not be empty */
	KEY_ZERO = 1 << 1,     /* 0 is fine though it is under the minimum */
	KEY_AUTO = 1 << 2,     /* the word auto is kept as 0 */
	KEY_UNIX = 1 << 3,     /* CIDRS: the word unix means Unix sockets */
	KEY_NONE = 1 << 6,     /* PATH: the word none is no file's name */
	/* When a reload applies it; neither: to what comes after it. */
	KEY_LIVE = 1 << 4,  /* at once, to what lives, too */
	KEY_START = 1 << 5, /* not: the next start does */
};

struct key_row {
	enum keys_section section;
	enum keys_type type;
	const char *name;
	const char *initial; /* the default; "" = empty */
	const char *min, *max;
	unsigned flags;
	const char *help;
	size_t offset; /* of the member in the section's struct */
};

struct keys_section_info {
	const char *name;
	bool named;  /* [listen NAME] */
	size_t size; /* of its struct */
	const char *help;
};

const struct keys_section_info *keys_section_get(enum keys_section s);
/* -1 when no section has this name. */
int keys_section_find(struct str name);

/* The rows of a section, in the order of the table. */
const struct key_row *keys_rows(enum keys_section s, size_t *n);
/* NULL when the section has no such key. */
const struct key_row *keys_find(enum keys_section s, struct str name);
/* The known name that is most like this one; NULL when none is near. */
const char *keys_nearest(enum keys_section s, struct str name);
const char *keys_section_nearest(struct str name);

enum keys_storage keys_storage(enum keys_type t);
bool keys_is_list(enum keys_type t);
/* Lists: whether one line may hold several, between blanks or commas. */
bool keys_is_split(enum keys_type t);

#endif
