/*
 * private.h: the front's own structure, for its files: front.c (requests,
 * refusals, the upgrade), answer.c (pages), proxy.c (what a proxy
 * says first), line.c (requests that wait to have a token verified).
 */
#ifndef FRONT_PRIVATE_H
#define FRONT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/reason.h"
#include "codec/http/handshake.h"
#include "codec/ws.h"
#include "net/loop.h"
#include "gate/client.h"
#include "front/log_quota.h"

struct attempt;
struct conf_address;
struct conn;
struct front_proxy;
struct hub_attach;
struct hub_attempt;
struct metrics;
struct request;
struct worker;

/* How long a client may take to read our last bytes. */
#define FRONT_LINGER_MS 5000

enum front_state {
	FRONT_HEAD,    /* waits for a request, or for the rest of one */
	FRONT_LINE,    /* waits until its token may be verified */
	FRONT_ANSWER,  /* a page is on its way */
	FRONT_OPENING, /* a backend is being opened */
	FRONT_CLOSING, /* refused by a close frame: the peer's is awaited */
	FRONT_LEAVING, /* the last answer is on its way */
};

struct front_upgrade { /* what is kept of a request that asks for one */
	bool possible; /* proper: may be finished */
	bool origin;   /* it came from a page */
	bool plain;    /* "wsuri" was offered */
	char accept[HANDSHAKE_ACCEPT];
	char *offer;    /* its first subprotocol that is no token */
	char *selected; /* what we selected; NULL: nothing, or the backend will */
	char *offers;   /* all of them, for the log; NULL: one is selected */
	char *path;     /* for logs; of any request; NULL = it had none */
};

struct front {
	TAILQ_ENTRY(front) next; /* in fronts_here.list */
	TAILQ_ENTRY(front) in_line;
	struct fronts *line; /* of its worker, while LINE */
	struct worker *worker;
	struct conn *conn;
	const struct conf_address *address;
	struct client client;
	struct addr socket_peer;   /* or the client in its PROXY header */
	struct front_proxy *proxy; /* while that is awaited */
	struct timer timer;
	struct buf head; /* bytes not yet understood */
	size_t counted;  /* of head, as counted among all queued bytes */
	size_t scanned;  /* see http_find_end */
	struct front_upgrade upgrade;
	struct attempt *attempt;   /* while OPENING: of a backend */
	struct hub_attempt *join;  /* or of a seat in a hub */
	struct hub_attach *attach; /* or of a simulation's place */
	int64_t opening_ms; /* when that began; before: its TLS handshake */
	struct ws_decoder skipped; /* while CLOSING: what the client says */
	size_t skipped_n;
	int file; /* of the answer under way, -1 = none */
	uint64_t file_left;
	struct metrics *metrics; /* what is left of them; NULL = nothing */
	uint8_t state;           /* enum front_state; front.c's set_state */
	uint8_t over;            /* enum reason: the limit it came over */
	bool unnamed;            /* by a PROXY header that names no client */
	bool secure;             /* by a PROXY header: it came over TLS */
	bool served;             /* a request was answered before */
	bool close_after;        /* the answer under way is the last */
	bool chunked;            /* that of metrics is */
	struct deferred again;   /* go on with the next request */
	struct deferred more;    /* go on with the file of the answer */
};

TAILQ_HEAD(fronts, front);

struct fronts_here { /* what one worker has of them */
	struct worker *worker;
	struct fronts list; /* oldest request first */
	/* Clients that wait until their tokens may be verified, see line.c. */
	struct fronts line, late_line;
	struct deferred line_turn;
	bool verified; /* a token, in this turn of the loop */
	struct log_quota refusals, backend_errors;
	bool odd_told; /* of a placeholder that is none, in this second */
};

/* front.c */
void front_set_state(struct front *f, enum front_state to);
/* Frees it; the connection has been closed, or handed over. */
void front_free(struct front *f);
/* Our last bytes are on their way: what the client still says is dropped. */
void front_leave(struct front *f);
void front_set_answering(struct front *f);
/*
 * The client's address is known (found where): its own first byte may come, or
 * it is turned away.
 */
void front_begin(struct front *f, const char *found);
/* Closes it before its first byte, without an answer. */
void front_turn_away(struct front *f, enum reason reason, const char *detail);
/* The limit it came over; that all places are taken stays true. */
void front_set_over(struct front *f, enum reason over);
/* The answer has left: wait for another request, or leave. */
void front_done(struct front *f);
/* It has waited in line: its request is looked at again. */
void front_resume(struct front *f);

/* refuse.c */
void front_refuse(struct front *f, const struct request *r, enum reason reason,
	const char *detail);
void front_log_refusal(struct front *f, enum reason reason, const char *detail);
/* While CLOSING: the client's bytes are dropped up to its close frame. */
void front_skip(struct front *f, uint8_t *p, size_t n);
/*
 * A page's script can't see an HTTP status: for it the upgrade is finished and
 * closed at once, with the reason where CloseEvent shows it.
 */
bool front_refuses_by_close(const struct front *f, enum reason reason);
/*
 * Tries once to send the refusal: lingering would keep what must be freed at
 * once.
 */
void front_give_way(struct front *f);

/* upgrade.c */
struct str front_accept(const struct front *f);
/*
 * Keeps what the end of the upgrade needs, for the request is forgotten while
 * the backend is opened. -1 without memory.
 */
MUST_CHECK int front_keep_upgrade(struct front *f, const struct request *r);
void front_forget_upgrade(struct front_upgrade *u);
/* Opens a backend for the client, or joins it to a hub. */
struct captures;
void front_open(struct front *f, const struct request *r,
	const struct captures *captures);
void front_cancel_opening(struct front *f);

/* admin.c */
/* Whether it was asked for /healthz or /readyz, and is answered. */
bool front_answer_health(struct front *f, const struct request *r);
void front_dispatch_admin(struct front *f, const struct request *r);

/* line.c */
/* A token was verified: no other one is in this turn of the loop. */
void front_line_verified(struct worker *w);
void front_line_enter(struct front *f);
/* Also when it is in no line. */
void front_line_leave(struct front *f);

#endif
