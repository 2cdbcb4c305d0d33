#include "page/wsuri.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "codec/http/uri.h"
#include "codec/pattern.h"
#include "conf/conf.h"
#include "gate/request.h"
#include "page/page.h"

#define JTI_BYTES       8
#define ANONYMOUS_BYTES 4

/* n <= 8 random bytes as text of 2 * n + 1. -1: there are none. */
static int add_random(char *text, size_t n)
{
	uint8_t bytes[8];

	if (random_bytes(NULL, bytes, n) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

int wsuri_anonymous(char name[WSURI_ANONYMOUS])
{
	strcpy(name, "anon-");
	return add_random(name + strlen(name), ANONYMOUS_BYTES);
}

/* JWT_NEVER is later than all. */
static int64_t earlier(int64_t a, int64_t b)
{
	if (a == JWT_NEVER || b == JWT_NEVER)
		return a == JWT_NEVER ? b : a;
	return a < b ? a : b;
}

/* The signer's own subjects need no other key's name. */
static const char *other_key(
	const struct conf_page *page, const struct page_visitor *visitor)
{
	return visitor->subject && visitor->subject_key &&
			       visitor->subject_key != page->key
		       ? visitor->subject_key->section.name
		       : NULL;
}

static int64_t token_end(const struct conf_page *page,
	const struct page_visitor *visitor, int64_t now_ms)
{
	int64_t most = page->key->jwt.max_ttl_ms;
	int64_t ttl = page->token_ttl < most ? page->token_ttl : most;

	return earlier(now_ms + ttl, earlier(visitor->exp, visitor->expire_at));
}

int wsuri_issuer_init(struct wsuri_issuer *i, const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms, const char **why)
{
	int perm = match->page->token_perm & (int)visitor->perm;

	*i = (struct wsuri_issuer){
		.match = match,
		.request = request,
		.subject = visitor->subject ? visitor->subject
					    : match->page->token_subject,
		.perm = (enum jwt_perm)perm,
		.now_ms = now_ms,
	};
	*why = "the page has no token_key";
	if (!match->page->key)
		return -1;
	i->sub_key = other_key(match->page, visitor);
	i->exp_ms = token_end(match->page, visitor, now_ms);
	i->expire_at_ms = visitor->expire_at;
	*why = "token_perm and the visitor's token have no right in common";
	if (perm == 0)
		return -1;
	*why = "no random bytes";
	return wsuri_anonymous(i->anonymous);
}

/* --- where it leads --- */

/* public_url, or what the request says, as "scheme://host". */
struct place {
	const char *scheme;
	struct str authority;
};

static struct place public_place(const struct wsuri_issuer *i)
{
	struct str url = str_of(i->match->page->public_url);
	struct place place = { "ws", i->request->host };

	if (url.n == 0) {
		place.scheme = i->request->secure ? "wss" : "ws";
		return place;
	}
	if (str_starts(url, STR("https:")) || str_starts(url, STR("wss:")))
		place.scheme = "wss";
	while (url.n > 0 && url.p[0] != '/') {
		url.p++;
		url.n--;
	}
	while (url.n > 0 && url.p[0] == '/') {
		url.p++;
		url.n--;
	}
	while (url.n > 0 && url.p[url.n - 1] == '/')
		url.n--;
	place.authority = url;
	return place;
}

static bool host_matches(const char *want, struct str authority)
{
	struct uri_authority a;

	return !want || (uri_parse_authority(&a, authority) == 0 &&
				str_eq_nocase(a.host, str_of(want)));
}

/*
 * Whether a wsuri of this page may come in where the route is. public_url may
 * lead to any listener; without it, it comes back to ours.
 */
static bool route_listens(
	const struct conf_route *r, const struct wsuri_issuer *i)
{
	if (r->listens.n == 0 || i->match->page->public_url)
		return true;
	for (size_t k = 0; k < r->listens.n; k++)
		if (r->listens.v[k] == i->match->listen)
			return true;
	return false;
}

/* NULL: no route has the path. */
static const char *token_param(
	const struct wsuri_issuer *i, const char *path, struct str authority)
{
	const struct conf *c = i->match->conf;
	struct captures captures;

	for (size_t k = 0; k < c->routes_n; k++) {
		const struct conf_route *r = &c->routes[k];

		if (route_listens(r, i) && host_matches(r->host, authority) &&
			pattern_match(r->pattern, str_of(path), &captures))
			return r->token_param ? r->token_param : "token";
	}
	return i->match->page->public_url ? "token" : NULL;
}

/* --- the token --- */

/* jti always: two tokens of a millisecond are two, single_use or not. */
static int add_token(
	struct buf *out, const struct wsuri_issuer *i, const char *path)
{
	const struct conf_page *page = i->match->page;
	const struct jwt_key *key = &page->key->jwt;
	char jti[2 * JTI_BYTES + 1];
	struct jwt_claims claims = {
		.path = path,
		.iat_ms = i->now_ms,
		.exp_ms = i->exp_ms,
		.sub = i->subject ? i->subject : i->anonymous,
		.sub_key = i->sub_key,
		.jti = jti,
		.issuer = key->issuer,
		.audience = key->audience,
		.perm = i->perm,
		.expire_at_ms = i->expire_at_ms,
	};

	if (add_random(jti, JTI_BYTES) < 0)
		return -1;
	return jwt_mint(out, key, &claims);
}

int wsuri_add(struct buf *out, const struct wsuri_issuer *i, const char *path,
	bool host_relative)
{
	struct place place = public_place(i);
	const char *param = token_param(i, path, place.authority);

	if (!param)
		return WSURI_NO_ROUTE;
	if (!host_relative &&
		buf_add_printf(out, "%s://%.*s", place.scheme,
			(int)place.authority.n, place.authority.p) < 0)
		return -1;
	if (buf_add_printf(out, "%s?%s=", path, param) < 0)
		return -1;
	return add_token(out, i, path);
}
