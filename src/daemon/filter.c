#include "daemon/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/control.h"
#include "conf/conf.h"
#include "gate/bearer.h"
#include "gate/client.h"
#include "gate/identity.h"
#include "pair/session.h"

/* -1 without memory. */
static int copy(char **out, const struct control_request *r, const char *name)
{
	const char *text = control_text(r, name);

	*out = text ? str_dup(str_of(text)) : NULL;
	return text && !*out ? -1 : 0;
}

int filter_read(
	struct filter *f, const struct control_request *r, const char **why)
{
	const char *net = control_text(r, "ip");

	*f = (struct filter){ .slow = control_flag(r, "slow") };
	*why = "ip: expected an address, a network such as 192.0.2.0/24, or "
	       "unix";
	if (net && cidr_parse(&f->net, str_of(net)) < 0)
		return -1;
	f->has_net = net != NULL;
	*why = "no memory";
	if (copy(&f->route, r, "route") == 0 && copy(&f->sub, r, "sub") == 0 &&
		copy(&f->key, r, "key") == 0 && copy(&f->kid, r, "kid") == 0)
		return 0;
	filter_free(f);
	return -1;
}

void filter_free(struct filter *f)
{
	free(f->route);
	free(f->sub);
	free(f->key);
	free(f->kid);
	*f = (struct filter){ 0 };
}

static bool same(const char *wanted, const char *is)
{
	return !wanted || (is && strcmp(wanted, is) == 0);
}

/* The key that the subject belongs to; of a token without one its signer. */
static bool same_key(const char *wanted, const struct filter_client *c)
{
	if (c->identity)
		return str_eq(str_of(wanted), identity_key(c->identity));
	return c->bearer && strcmp(wanted, c->bearer->key) == 0;
}

bool filter_fits(const struct filter *f, const struct filter_client *c)
{
	return same(f->route, c->route) && same(f->sub, c->subject) &&
	       (!f->key || same_key(f->key, c)) &&
	       same(f->kid, c->bearer ? c->bearer->kid : NULL) &&
	       (!f->has_net || cidr_contains(&f->net, c->peer));
}

static bool is_slow(const struct session *s)
{
	return session_queued(s, END_CLIENT) > 0 || s->lost > 0 ||
	       (s->paused[END_BACKEND] & SESSION_PAUSED_QUEUE);
}

bool filter_fits_session(const struct filter *f, const struct session *s)
{
	const struct filter_client c = { s->client.route->section.name,
		client_subject(&s->client), s->client.verdict.identity,
		s->client.verdict.bearer, &s->client.peer };

	return filter_fits(f, &c) && (!f->slow || is_slow(s));
}
