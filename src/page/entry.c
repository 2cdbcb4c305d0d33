#include "page/entry.h"

#include <inttypes.h>
#include <stdlib.h>

#include "codec/http/uri.h"
#include "conf/conf.h"
#include "gate/invitation.h"
#include "gate/request.h"
#include "page/fields.h"
#include "page/page.h"

#define PARAMETER "token"
/* Browsers keep cookies of 4096 bytes, name and attributes counted by some. */
#define TOKEN_MAX 3800

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

int page_entry_answer(struct page_answer *a, const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms)
{
	char name[INVITATION_NAME_MAX];
	struct str token = token_of(request);

	a->status = 303;
	if (add_location(&a->fields, request) < 0 ||
		buf_add_printf(&a->fields,
			"Set-Cookie: %s=%.*s; Max-Age=%" PRId64
			"; HttpOnly; SameSite=Lax%s\r\n",
			invitation_cookie(name, match->page, request->secure),
			(int)token.n, token.p, (visitor->exp - now_ms) / 1000,
			request->secure ? "; Secure" : "") < 0)
		return -1;
	return page_fields_add_page(&a->fields, match->page, true);
}
