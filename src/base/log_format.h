/*
 * log_format.h: an event as the bytes of one line (text or JSON) or as one
 * datagram of the journal's native protocol. Pure; log.c is its only user.
 */
#ifndef BASE_LOG_FORMAT_H
#define BASE_LOG_FORMAT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/log.h"

/*
 * A write of so many bytes into a pipe is atomic, so that the lines of
 * several processes do not mix (POSIX write()). Fields that do not fit are
 * left out.
 */
#define LOG_LINE_MAX PIPE_BUF
/* Longer values are cut, between characters, and end in "...". */
#define LOG_VALUE_MAX 1024

struct log_record {
	enum log_level level;
	const char *event;
	struct timespec time; /* CLOCK_REALTIME */
	const struct log_field *fields;
	size_t n;
};

/* Returns the length, the line feed at the end included. */
size_t log_format(char out[LOG_LINE_MAX], const struct log_record *record,
	enum log_sink sink, bool json);

#endif
