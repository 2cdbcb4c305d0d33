/*
 * log.h: one event, one line.
 *
 *   LOG(LOG_INFO, "open", F_STR("route", name), F_INT("ms", ms));
 *   2026-11-20T21:46:00.123456Z info open route=sim ms=3
 *
 * The caller formats its line into a bounded ring; a writer thread takes it
 * from there, so that a slow terminal or disk never holds up the relay. When
 * the ring is full the line is dropped and counted, and the next line written
 * says how many. Any thread may log.
 *
 * Control characters, quotes and backslashes in values are escaped, values
 * over 1024 bytes are cut, fields that make a line longer than 4096 bytes are
 * left out. Never give it a payload or a token. What looks like a JWT in a value,
 * because somebody wrote one into a path, becomes "(token)".
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log_kind.h"
#include "base/str.h"

enum log_level {
	LOG_ERROR, /* the operator must act */
	LOG_WARN,  /* degraded */
	LOG_INFO,  /* life cycle */
	LOG_DEBUG,
};

enum log_sink {
	LOG_STDERR,
	LOG_STDERR_PRIORITY, /* the journal's: "<6>" in place of the time */
	LOG_JOURNAL,         /* the journal's own socket, with fields */
};

struct log_options {
	enum log_level level;
	enum log_sink sink;
	bool json;
	log_kinds hidden;
};

struct log_field {
	const char *key;
	enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_NONE } type;
	struct str str;
	int64_t number;
};

#define F_STR(k, cstring)                                                      \
	((struct log_field){ (k), LOG_FIELD_STR, str_of(cstring), 0 })
#define F_VIEW(k, view) ((struct log_field){ (k), LOG_FIELD_STR, (view), 0 })
#define F_INT(k, n)                                                            \
	((struct log_field){ (k), LOG_FIELD_INT, STR_NONE, (int64_t)(n) })
/* A field that is left out: for optional ones. */
#define F_NONE ((struct log_field){ "", LOG_FIELD_NONE, STR_NONE, 0 })

#define LOG(level, event, ...)                                                 \
	do {                                                                   \
		if (log_wanted(level, event)) {                                \
			const struct log_field log_fields_[] = {               \
				__VA_ARGS__                                    \
			};                                                     \
			log_event(level, event, log_fields_,                   \
				ARRAY_SIZE(log_fields_));                      \
		}                                                              \
	} while (0)

/*
 * Starts the writer thread. Before it, and after log_stop, lines are written
 * at once by the caller. -1: no thread, or no journal; errno says why.
 */
MUST_CHECK int log_start(const struct log_options *o);
/*
 * Writes text for people to standard error, as it is: what is said before
 * log_start. Gives up when nothing of it is taken for a second.
 */
void log_print(const char *p, size_t n);
/* Writes out what is waiting, at most for a second, and ends the thread. */
void log_stop(void);
bool log_enabled(enum log_level level);
/*
 * The same for a line of this kind, which is its event unless log_kind.def says
 * otherwise: LOG asks for the event, and who logs an event of several kinds asks
 * for the kind before.
 */
bool log_wanted(enum log_level level, const char *kind);
void log_set_level(enum log_level level);
/* How lines are written from now on. */
void log_set_json(bool json);
/* Of kinds that are hidden only lines above LOG_INFO are logged. */
void log_set_hidden(log_kinds hidden);
/* Strings of no value (p is NULL) are left out, like F_NONE. */
void log_event(enum log_level level, const char *event,
	const struct log_field *fields, size_t n);
/* Lines dropped since the start because the ring was full. */
uint64_t log_dropped(void);
/* -1 when it is no level's name. */
int log_level_parse(struct str name);
const char *log_level_name(enum log_level level);

#endif
