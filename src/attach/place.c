#include "attach/place.h"

#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/base64.h"
#include "base/buf.h"
#include "codec/http/uri.h"

#define NO_MEMORY "no memory"

/* "[::1]" -> "::1"; owned. */
static char *without_brackets(struct str host)
{
	if (host.n > 1 && host.p[0] == '[')
		host = (struct str){ host.p + 1, host.n - 2 };
	return str_dup(host);
}

/* --- the place ------------------------------------------------------------*/

static char *normalised(struct str path)
{
	char *out = malloc(path.n + 1);
	ssize_t n = out ? uri_normalise_path(out, path) : 0;

	if (!out || n < 0) {
		free(out);
		return NULL;
	}
	out[n] = '\0';
	return out;
}

static int take_parts(
	struct place *p, const struct uri_target *t, const char **why)
{
	struct uri_authority a;
	struct str token;

	*why = "its host or port is none";
	if (uri_parse_authority(&a, t->authority) < 0)
		return -1;
	p->port = a.port ? a.port : (p->tls ? 443 : 80);
	p->path = normalised(t->path);
	*why = p->path ? NO_MEMORY : uri_path_fault(t->path);
	p->host = without_brackets(a.host);
	if (!p->host || !p->path)
		return -1;
	if (!t->query.p)
		return 0;
	p->query = str_dup(t->query);
	p->has_token = uri_query_get(t->query, STR("token"), &token) > 0;
	return p->query ? 0 : -1;
}

int place_parse(struct place *p, const char *uri, const char **why)
{
	struct str all = str_of(uri);
	struct uri_target t;

	*p = (struct place){ .tls = str_starts(all, STR("wss://")) };
	*why = "expected wss://host/path or ws://host/path";
	if (!p->tls && !str_starts(all, STR("ws://")))
		return -1;
	if (uri_split_target(&t, all) < 0)
		return -1;
	/* Without the query, which may hold a token: this is for messages. */
	p->uri = str_dup((struct str){ uri, strcspn(uri, "?") });
	if (!p->uri) {
		*why = NO_MEMORY;
		return -1;
	}
	return take_parts(p, &t, why);
}

void place_free(struct place *p)
{
	free(p->uri);
	free(p->host);
	free(p->path);
	free(p->query);
	*p = (struct place){ 0 };
}

/* --- the proxy ------------------------------------------------------------*/

static bool matches_name(struct str pattern, struct str host)
{
	struct str end;

	if (pattern.n > 0 && pattern.p[0] == '.')
		pattern = (struct str){ pattern.p + 1, pattern.n - 1 };
	if (pattern.n == 0 || host.n < pattern.n)
		return false;
	end = (struct str){ host.p + host.n - pattern.n, pattern.n };
	return str_eq_nocase(end, pattern) &&
	       (end.p == host.p || end.p[-1] == '.');
}

/* An element of no_proxy: a name, an address or a network, perhaps a port. */
static bool matches(struct str element, const struct place *p)
{
	struct uri_authority a;
	struct addr address;
	struct cidr net;

	if (str_eq(element, STR("*")))
		return true;
	if (addr_parse(&address, str_of(p->host)) == 0)
		return cidr_parse(&net, element) == 0 &&
		       cidr_contains(&net, &address);
	if (uri_parse_authority(&a, element) == 0 && a.port != 0) {
		if (a.port != p->port)
			return false;
		element = a.host;
	}
	return matches_name(element, str_of(p->host));
}

static bool is_excepted(const struct place *p)
{
	const char *list = getenv("no_proxy");
	struct str left = str_of(list ? list : getenv("NO_PROXY")), element;

	while (str_next_element(&left, &element))
		if (matches(element, p))
			return true;
	return false;
}

/* "user:password", percent-encoded, as a value of Proxy-Authorization. */
static char *make_authorization(struct str user)
{
	char *plain = malloc(user.n + 1);
	ssize_t n = plain ? uri_decode(plain, user, false) : -1;
	char *out = NULL;

	if (n >= 0)
		out = malloc(sizeof("Basic ") + BASE64_LENGTH((size_t)n));
	if (out) {
		size_t length = strlen(strcpy(out, "Basic "));

		length += base64_encode(
			out + length, (const uint8_t *)plain, (size_t)n);
		out[length] = '\0';
	}
	free(plain);
	return out;
}

static int parse_proxy(
	struct place_proxy *proxy, struct str s, const char **why)
{
	struct uri_authority a;
	const char *at;

	*why = "a proxy is http://[user:password@]host[:port]";
	if (str_starts(s, STR("http://")))
		s = (struct str){ s.p + 7, s.n - 7 };
	else if (memmem(s.p, s.n, "://", 3))
		return -1;
	if (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	at = memrchr(s.p, '@', s.n);
	if (at) {
		proxy->authorization = make_authorization(
			(struct str){ s.p, (size_t)(at - s.p) });
		if (!proxy->authorization)
			return -1;
		s.n -= (size_t)(at - s.p) + 1;
		s.p = at + 1;
	}
	if (uri_parse_authority(&a, s) < 0)
		return -1;
	proxy->port = a.port ? a.port : 1080; /* curl's, too */
	proxy->host = without_brackets(a.host);
	*why = NO_MEMORY;
	return proxy->host ? 0 : -1;
}

int place_find_proxy(
	struct place_proxy *proxy, const struct place *p, const char **why)
{
	const char *value = getenv(p->tls ? "https_proxy" : "http_proxy");

	*proxy = (struct place_proxy){ 0 };
	if (!value && p->tls)
		value = getenv("HTTPS_PROXY");
	if (!value || !*value || is_excepted(p))
		return 0;
	return parse_proxy(proxy, str_of(value), why);
}

void place_proxy_free(struct place_proxy *proxy)
{
	free(proxy->host);
	free(proxy->authorization);
	*proxy = (struct place_proxy){ 0 };
}
