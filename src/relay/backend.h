/*
 * backend.h: opens a route's backend, for a client or as a hub's trunk.
 *
 *   front, hub -> backend_open -> kind->open: dial, handshake, spawn ... -> done
 *
 * The 101 leaves only when done brings an end, so that a dead backend is an
 * honest 502 or 504.
 */
#ifndef RELAY_BACKEND_H
#define RELAY_BACKEND_H

#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/reason.h"
#include "base/str.h"
#include "net/tls.h"

struct attempt;
struct captures;
struct client;
struct end;
struct request;
struct worker;

/* How an opening ended: that of a backend, or a client's joining of a hub. */
struct outcome {
	enum reason reason; /* REASON_NONE: it is open */
	/* Borrowed until done returns. */
	const char *detail;  /* why not, for the log; may be NULL */
	struct str protocol; /* that a ws backend selected */
};

struct backend_result {
	struct outcome outcome;
	struct end *end; /* when it is open: the receiver's */
	/*
	 * BACKEND_STATUS: the ws backend's own refusal, to be passed on; 0: it
	 * was a trunk's and answers no client. Borrowed until done returns.
	 */
	int status;
	struct str fields; /* those of it that are passed on, as lines */
	struct str body;   /* what came of its body */
};

struct backend_params {
	struct worker *worker;
	const struct client *client;     /* until done or cancel */
	const struct request *request;   /* until backend_open returns */
	const struct captures *captures; /* likewise */
	int client_fd; /* for its local address; borrowed until done */
	/* Called once, never from within backend_open. */
	void (*done)(void *owner, const struct backend_result *r);
	void *owner;
};

/* How one kind of backend opens: see backend_*.c. */
struct backend_kind {
	struct attempt *(*open)(const struct backend_params *p);
	void (*cancel)(struct attempt *a);
};

struct attempt { /* the head of each kind's own */
	const struct backend_kind *kind;
};

/* NULL: no memory. */
MUST_CHECK struct attempt *backend_open(const struct backend_params *p);
/* Before done: it will not be called, what was opened is closed. */
void backend_cancel(struct attempt *a);

/* Closes an end that no pair will be made of. */
void backend_discard(struct end *e);

extern const struct backend_kind backend_socket; /* tcp and unix */
extern const struct backend_kind backend_ws;
extern const struct backend_kind backend_exec;
extern const struct backend_kind backend_echo;

/*
 * For the kinds: expands host, port and path of the route's backend and
 * starts to dial. NULL: no memory, or a port that is none.
 */
struct dial;
enum dial_result;
struct addr;
MUST_CHECK struct dial *backend_dial(const struct backend_params *p,
	void (*done)(void *owner, enum dial_result result, int fd,
		const struct addr *to, const char *text),
	void *owner);
/*
 * The client's query, less the token where the route looks for one; owned,
 * terminated; NULL: no memory.
 */
MUST_CHECK char *backend_query(const struct backend_params *p);
/* The reason that a dial's failure is. */
enum reason backend_dial_reason(enum dial_result result);

/*
 * The host as it is dialled, when the route's backend speaks TLS: for
 * backend_start_tls. -1 without memory; *host is NULL where there is no TLS.
 */
MUST_CHECK int backend_tls_host(const struct backend_params *p, char **host);
/* TLS on the connection, where host is not NULL. -1: no memory. */
struct conn;
MUST_CHECK int backend_start_tls(
	const struct backend_params *p, struct conn *c, const char *host);
/* The reason that a failure of it is; NONE: it was not TLS that failed. */
enum reason backend_tls_reason(const struct conn *c);
/* The same in words; error is what ended was called with. */
const char *backend_tls_detail(
	const struct conn *c, int error, char text[TLS_TEXT]);

#endif
