/*
 * keys.c: keys.def, included twice: once for the compiler, which compares
 * every row with its member in conf.h, and once as data.
 */
#include "conf/keys.h"

#include <stdint.h>
#include <string.h>

#include "conf/conf.h"

#define STRUCT_SERVER      struct conf_server
#define STRUCT_LISTEN      struct conf_listen
#define STRUCT_CERTIFICATE struct conf_certificate
#define STRUCT_KEY         struct conf_key
#define STRUCT_PAGE        struct conf_page
#define STRUCT_ROUTE       struct conf_route
#define STRUCT_ATTACH      struct conf_attach

#define MEMBER_STRING      char *
#define MEMBER_PATH        char *
#define MEMBER_NAME        char *
#define MEMBER_HOST        char *
#define MEMBER_AUTHORITY   char *
#define MEMBER_PARAMETER   char *
#define MEMBER_SUBJECT     char *
#define MEMBER_URL         char *
#define MEMBER_ANCESTORS   char *
#define MEMBER_BOOL        bool
#define MEMBER_SIZE        int64_t
#define MEMBER_TIME        int64_t
#define MEMBER_COUNT       int64_t
#define MEMBER_RATE        struct conf_rate
#define MEMBER_MODE        int64_t
#define MEMBER_ENUM        int
#define MEMBER_STRINGS     struct conf_strings
#define MEMBER_PATHS       struct conf_strings
#define MEMBER_HEADERS     struct conf_strings
#define MEMBER_ENVIRONMENT struct conf_strings
#define MEMBER_SUBJECTS    struct conf_strings
#define MEMBER_ADDRESSES   struct conf_addresses
#define MEMBER_NAMES       struct conf_strings
#define MEMBER_HOSTS       struct conf_strings
#define MEMBER_TOKENS      struct conf_strings
#define MEMBER_EVENTS      struct conf_strings
#define MEMBER_ORIGINS     struct conf_strings
#define MEMBER_CIDRS       struct cidr_list

/* The table writes through offsets; the compiler checks that types agree. */
#define KEY(s, n, t, initial, min, max, flags, help)                           \
	_Static_assert(                                                        \
		_Generic(((STRUCT_##s *)0)->n, MEMBER_##t : 1, default : 0),   \
		#s " " #n " has another type in conf.h");
#include "conf/keys.def"
#undef KEY

/* The rows of a section are adjacent: keys_rows relies on it. */
static const struct key_row rows[] = {
#define KEY(s, n, t, initial, min, max, flags, help)                           \
	{ SECTION_##s, TYPE_##t, #n, initial, min, max, flags, help,           \
		offsetof(STRUCT_##s, n) },
#include "conf/keys.def"
#undef KEY
};

static const struct keys_section_info sections[SECTION_COUNT] = {
	[SECTION_SERVER] = { "server", false, sizeof(struct conf_server),
		"The daemon as a whole. It may occur once in every file." },
	[SECTION_LISTEN] = { "listen", true, sizeof(struct conf_listen),
		"Where clients connect: one section per listener, at least "
		"one." },
	[SECTION_CERTIFICATE] = { "certificate", true,
		sizeof(struct conf_certificate),
		"What a listener shows to clients that speak TLS, or the relay "
		"to a backend." },
	[SECTION_KEY] = { "key", true, sizeof(struct conf_key),
		"What tokens are signed with; its name is a token's kid." },
	[SECTION_PAGE] = { "page", true, sizeof(struct conf_page),
		"Files that are served over HTTP." },
	[SECTION_ROUTE] = { "route", true, sizeof(struct conf_route),
		"Which paths are relayed, to which backend, for which "
		"clients." },
	[SECTION_ATTACH] = { "attach", true, sizeof(struct conf_attach),
		"Where simulations connect to the relay, see "
		"wsrelayd-attach(7); a route leads to it with backend = "
		"attach:NAME." },
};

const struct keys_section_info *keys_section_get(enum keys_section s)
{
	return &sections[s];
}

int keys_section_find(struct str name)
{
	for (int i = 0; i < SECTION_COUNT; i++)
		if (str_eq(name, str_of(sections[i].name)))
			return i;
	return -1;
}

const struct key_row *keys_rows(enum keys_section s, size_t *n)
{
	const struct key_row *first = rows;
	const struct key_row *end = rows + ARRAY_SIZE(rows);

	while (first < end && first->section != s)
		first++;
	*n = 0;
	while (first + *n < end && first[*n].section == s)
		(*n)++;
	return first;
}

const struct key_row *keys_find(enum keys_section s, struct str name)
{
	size_t n;
	const struct key_row *row = keys_rows(s, &n);

	for (; n > 0; n--, row++)
		if (str_eq(name, str_of(row->name)))
			return row;
	return NULL;
}

#define WORD_MAX 48

/* Edits (Levenshtein) that make b of a; WORD_MAX for words too long. */
static size_t distance(struct str a, struct str b)
{
	size_t cost[WORD_MAX + 1];

	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b.n; j++)
		cost[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = cost[0];

		cost[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t best = diagonal + (a.p[i - 1] != b.p[j - 1]);

			if (best > cost[j] + 1)
				best = cost[j] + 1;
			if (best > cost[j - 1] + 1)
				best = cost[j - 1] + 1;
			diagonal = cost[j];
			cost[j] = best;
		}
	}
	return cost[b.n];
}

/* Keeps the better of two candidates; a third of a word may be wrong. */
static void nearest(struct str name, const char *candidate, const char **best,
	size_t *least)
{
	size_t d = distance(name, str_of(candidate));

	if (d < *least && d <= 1 + strlen(candidate) / 4) {
		*least = d;
		*best = candidate;
	}
}

const char *keys_nearest(enum keys_section s, struct str name)
{
	const char *best = NULL;
	size_t least = WORD_MAX;
	size_t n;
	const struct key_row *row = keys_rows(s, &n);

	for (; n > 0; n--, row++)
		nearest(name, row->name, &best, &least);
	return best;
}

const char *keys_section_nearest(struct str name)
{
	const char *best = NULL;
	size_t least = WORD_MAX;

	for (int i = 0; i < SECTION_COUNT; i++)
		nearest(name, sections[i].name, &best, &least);
	return best;
}

enum keys_storage keys_storage(enum keys_type t)
{
	switch (t) {
	case TYPE_STRING:
	case TYPE_PATH:
	case TYPE_NAME:
	case TYPE_HOST:
	case TYPE_AUTHORITY:
	case TYPE_PARAMETER:
	case TYPE_SUBJECT:
	case TYPE_URL:
	case TYPE_ANCESTORS:
		return STORE_STRING;
	case TYPE_BOOL:
		return STORE_BOOL;
	case TYPE_SIZE:
	case TYPE_TIME:
	case TYPE_COUNT:
	case TYPE_MODE:
		return STORE_NUMBER;
	case TYPE_RATE:
		return STORE_RATE;
	case TYPE_ENUM:
		return STORE_ENUM;
	case TYPE_STRINGS:
	case TYPE_PATHS:
	case TYPE_HEADERS:
	case TYPE_ENVIRONMENT:
	case TYPE_SUBJECTS:
	case TYPE_NAMES:
	case TYPE_HOSTS:
	case TYPE_TOKENS:
	case TYPE_EVENTS:
	case TYPE_ORIGINS:
		break;
	case TYPE_CIDRS:
		return STORE_CIDRS;
	case TYPE_ADDRESSES:
		return STORE_ADDRESSES;
	}
	return STORE_STRINGS;
}

bool keys_is_list(enum keys_type t)
{
	return t >= TYPE_STRINGS;
}

bool keys_is_split(enum keys_type t)
{
	return t >= TYPE_NAMES;
}
