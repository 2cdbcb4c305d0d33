/*
 * wsuri.h: the URI that a browser opens, made for a page that is asked for.
 *
 *   ws://host/sim/42?token=eyJ...
 *
 * One struct wsuri_issuer per answer: all wsuris of a page view have one
 * subject, each has a token of its own.
 */
#ifndef PAGE_WSURI_H
#define PAGE_WSURI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/token/jwt.h"

struct page_match;
struct page_visitor;
struct request;

#define WSURI_ANONYMOUS 16

/* A subject by chance, "anon-" and eight digits. -1 without random bytes. */
MUST_CHECK int wsuri_anonymous(char name[WSURI_ANONYMOUS]);

struct wsuri_issuer {
	const struct page_match *match;
	const struct request *request;
	const char *subject; /* NULL: anonymous takes its place */
	const char *sub_key; /* the key of subject; NULL: the signer */
	enum jwt_perm perm;
	int64_t now_ms;
	int64_t exp_ms;       /* of its tokens */
	int64_t expire_at_ms; /* likewise, JWT_NEVER = none */
	char anonymous[WSURI_ANONYMOUS];
};

/*
 * Borrows all its arguments. The right is what token_perm and the visitor's
 * own have in common; -1 and *why when that is nothing (a token that names no
 * right has every right), without a key, without random bytes. Tokens end with
 * the invitation, and so does what they open.
 */
MUST_CHECK int wsuri_issuer_init(struct wsuri_issuer *i,
	const struct page_match *match, const struct request *request,
	const struct page_visitor *visitor, int64_t now_ms, const char **why);
/*
 * Appends the wsuri of a normalised path; host_relative leaves out scheme and
 * host. The token's parameter is named as the route says that the path leads
 * to. WSURI_NO_ROUTE: none does, at the host and listener that the page was
 * asked for at; with public_url that is no fault, for it may lead to another
 * relay. -1 without memory or random bytes.
 */
#define WSURI_NO_ROUTE (-2)
MUST_CHECK int wsuri_add(struct buf *out, const struct wsuri_issuer *i,
	const char *path, bool host_relative);

#endif
