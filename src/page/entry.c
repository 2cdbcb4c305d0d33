#include "page/entry.h"

#include <inttypes.h>
#include <stdlib.h>

#include "codec/http/uri.h"
#include "codec/token/jwt.h"
#include "conf/conf.h"
#include "gate/invitation.h"
#include "gate/request.h"
#include "page/fields.h"
#include "page/page.h"
#include "page/wsuri.h"

#define PARAMETER "token"
/* Browsers keep cookies of 4096 bytes, name and attributes counted by some. */
#define TOKEN_MAX 3700

static struct str token_of(const struct request *request)
{
	struct str token;

	return request->query.p && uri_query_get(request->query, STR(PARAMETER),
					   &token) == 1
		       ? token
		       : STR_NONE;
}

static bool is_navigation(const struct http_head *head)
{
	struct str dest = http_field(head, STR("Sec-Fetch-Dest"));

	/* Without TLS browsers say it on the loopback address only. */
	return dest.p ? str_eq(dest, STR("document"))
		      : http_has_element(head, STR("Accept"), STR("text/html"));
}

bool page_entry_is(const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms)
{
	struct str token = token_of(request);

	return match->page->auth == CONF_AUTH_TOKEN && token.n > 0 &&
	       token.n <= TOKEN_MAX &&
	       str_eq(request->head.method, STR("GET")) && match->rest.n > 0 &&
	       match->rest.p[0] == '/' && visitor->exp != JWT_NEVER &&
	       visitor->exp - now_ms >= 1000 && is_navigation(&request->head);
}

/*
 * Relative, because a proxy may have taken something off the path; "./" in
 * front of a segment that would look like a scheme.
 */
static int add_location(struct buf *fields, const struct request *request)
{
	struct str path = request->path;
	size_t last = path.n;
	char *query = malloc(request->query.n);
	size_t n;
	int failed;

	if (!query)
		return -1;
	while (path.p[last - 1] != '/')
		last--;
	n = uri_query_without(query, request->query, STR(PARAMETER));
	failed = buf_add_printf(fields, "Location: ./%.*s%s%.*s\r\n",
		(int)(path.n - last), path.p + last, n > 0 ? "?" : "", (int)n,
		query);
	free(query);
	return failed;
}

/* Whether what the page signs is an invitation to it, for as long as exp. */
static bool can_name(const struct conf_page *page, int64_t exp, int64_t now_ms)
{
	bool own = false;

	for (size_t i = 0; i < page->use_keys.n; i++)
		own |= page->use_keys.v[i] == page->key;
	return own && jwt_can_sign(&page->key->jwt) &&
	       exp - now_ms <= page->key->jwt.max_ttl_ms;
}

/* The same token with a subject by chance. */
static int add_named(struct buf *out, const struct conf_page *page,
	const struct jwt *t, int64_t now_ms)
{
	char name[WSURI_ANONYMOUS];
	struct jwt_claims claims = { .path = t->path,
		.iat_ms = now_ms,
		.exp_ms = t->exp,
		.sub = name,
		.jti = t->jti,
		.origin = t->origin,
		.issuer = page->key->jwt.issuer,
		.audience = page->key->jwt.audience,
		.perm = t->perm,
		.expire_at_ms = t->expire_at };

	if (wsuri_anonymous(name) < 0)
		return -1;
	return jwt_mint(out, &page->key->jwt, &claims);
}

/* What the cookie holds. The token was verified: it is not looked at again. */
static int add_value(struct buf *out, const struct conf_page *page,
	struct str token, int64_t now_ms)
{
	struct jwt t;
	const char *why;
	int result;

	if (jwt_parse(&t, token, &why) == JWT_OK && !t.sub && t.path &&
		!page->token_subject && can_name(page, t.exp, now_ms))
		result = add_named(out, page, &t, now_ms);
	else
		result = buf_add_str(out, token);
	jwt_free(&t);
	return result;
}

static int add_cookie(struct buf *fields, const struct conf_page *page,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms)
{
	char name[INVITATION_NAME_MAX];

	if (buf_add_printf(fields, "Set-Cookie: %s=",
		    invitation_cookie(name, page, request->secure)) < 0 ||
		add_value(fields, page, token_of(request), now_ms) < 0)
		return -1;
	return buf_add_printf(fields,
		"; Max-Age=%" PRId64 "; HttpOnly; SameSite=Lax%s\r\n",
		(visitor->exp - now_ms) / 1000,
		request->secure ? "; Secure" : "");
}

int page_entry_answer(struct page_answer *a, const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms)
{
	a->status = 303;
	if (add_location(&a->fields, request) < 0 ||
		add_cookie(&a->fields, match->page, request, visitor, now_ms) <
			0)
		return -1;
	return page_fields_add_page(&a->fields, match->page, true);
}
