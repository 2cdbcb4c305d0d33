/*
 * tee.h: what the run prints goes on to our own standard output, byte for byte,
 * without a wait: what that does not take now is kept, and while something is,
 * the run is not read (it waits for its output as it would without us).
 *
 * The file description of standard output is shared with other programs, which
 * would meet a non-blocking one unprepared: a pipe or a terminal is opened anew
 * (/proc/self/fd/1), into a socket is sent with MSG_DONTWAIT. A write to a file
 * waits for its disk or server, as the run's own would.
 */
#ifndef ATTACH_TEE_H
#define ATTACH_TEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"

struct event;
struct loop;

struct tee {
	bool waits; /* bytes are kept */
	/* Called when nothing waits any more. Not from within tee_write. */
	void (*drained)(struct tee *t);
	/* Private to tee.c. */
	struct event *event; /* NULL: standard output never makes us wait */
	struct buf kept;
	int fd;
	enum tee_kind { TEE_FILE, TEE_STREAM, TEE_PIPE, TEE_SOCKET } kind;
	bool told; /* that it takes no more */
};

/* -1 without memory; tee_close is called all the same. */
MUST_CHECK int tee_open(
	struct tee *t, struct loop *l, void (*drained)(struct tee *t));
void tee_close(struct tee *t);
/*
 * Copies what it keeps. -1: its reader is gone (EPIPE), or there is no memory:
 * without us the run would meet that.
 */
MUST_CHECK int tee_write(struct tee *t, const uint8_t *p, size_t n);

#endif
