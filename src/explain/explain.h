/*
 * explain.h: what the relay would answer to a request, and why: wsrelayctl
 * explain, of a running daemon or of a file.
 *
 *   question -> the head of a request -> request_parse -> gate_pass, way_find
 *            -> a line for each step, route and limit -> the verdict
 *
 * It asks the functions that decide in the daemon (gate/gate.h, page/way.h), as
 * a client that only looks (gate/client.h): nothing is counted, used up, logged,
 * opened or resolved.
 */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

#include <stdint.h>

#include "base/compiler.h"

struct conf;
struct conf_address;
struct conf_listen;
struct shared;

struct explain_question {
	struct conf *conf;
	/* NULL: no daemon runs, and what only one knows is not asked. */
	struct shared *shared;
	int64_t now_ms; /* of the loop of shared */
	/* Where it comes to. */
	const struct conf_listen *listen;
	const struct conf_address *address;
	/* As a person says it; NULL: not given. */
	const char *path; /* or a whole address: wss://HOST/PATH */
	const char *host;
	const char *origin;
	const char *from; /* the client's address, or unix */
	const char *protocol;
	const char *token;
	const char *certificate; /* the subject of the client's */
};

/* What a caller is told of a name of none, and at the end of a refusal. */
#define EXPLAIN_NO_LISTENER                                                    \
	"--listen: there is no such listener (and without it none that is "    \
	"public)"
#define EXPLAIN_IS_REFUSED "it would be refused"

struct explain_line {
	const char *step;
	const char *says;   /* ok, no, unknown, a reason's word, or a value */
	const char *name;   /* what it says that of; may be NULL */
	const char *detail; /* may be NULL */
};

/* What a caller of the console says, borrowed: path and what is below it. */
struct control_request;
void explain_read(struct explain_question *q, const struct control_request *r);

/* Borrows the line. */
typedef void explain_fn(void *arg, const struct explain_line *line);

enum explain_result {
	EXPLAIN_LET_IN,
	EXPLAIN_REFUSED,
	EXPLAIN_USAGE, /* the question is no good: *why says so */
	EXPLAIN_NO_MEMORY,
};

/*
 * One or two requests: one for a WebSocket, and if no route has the path, one
 * for a page. The last line is the verdict.
 */
MUST_CHECK enum explain_result explain(const struct explain_question *q,
	explain_fn *tell, void *arg, const char **why);
/*
 * The listener of this name; without one (NULL) the first that is public. NULL:
 * there is none.
 */
MUST_CHECK const struct conf_listen *explain_find_listen(
	const struct conf *conf, const char *name);

#endif
