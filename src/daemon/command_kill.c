/*
 * kill: closes clients, by their ids or by what they have in common. They may
 * come back; revoking a token is another thing.
 */
#include "daemon/command.h"

#include <string.h>

#include "base/log.h"
#include "codec/utf8.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "daemon/closing.h"
#include "daemon/filter.h"
#include "daemon/visit.h"
#include "end/ending.h"
#include "pair/session.h"
#include "worker/worker.h"

struct kill {
	struct visit visit;
	struct filter filter;
	struct closing closing; /* no ids: those that fit the filter */
	uint16_t code;          /* 0: the reason's own */
	char text[WS_CLOSE_REASON_MAX + 1];
};

static bool is_meant(const struct kill *x, const struct session *s)
{
	return session_is_open(s) && filter_fits_session(&x->filter, s) &&
	       (x->closing.ids_n == 0 || closing_has_id(&x->closing, s));
}

static void kill_one(struct kill *x, struct session *s)
{
	closing_close(&x->closing, &x->visit, s,
		&(struct ending){ .reason = REASON_KILLED,
			.code = x->code,
			.text = x->text[0] ? str_of(x->text) : STR_NONE,
			.detail = "by wsrelayctl" });
}

static bool run_kill(struct visit *v, struct worker *w)
{
	struct kill *x = CONTAINER_OF(v, struct kill, visit);
	struct session *s;

	do {
		s = sessions_next(w, &v->walk);
		if (s && is_meant(x, s))
			kill_one(x, s);
	} while (s && visit_goes_on(v, w));
	return s != NULL;
}

static void kill_done(struct visit *v, struct answer *a)
{
	if (CONTAINER_OF(v, struct kill, visit)->closing.closed > 0)
		answer_end(a);
	else
		answer_refuse(a, "no client is that");
}

static void free_kill(struct visit *v)
{
	struct kill *x = CONTAINER_OF(v, struct kill, visit);

	filter_free(&x->filter);
	closing_free(&x->closing);
}

static const struct visit_kind kill_kind = {
	.size = sizeof(struct kill),
	.run = run_kill,
	.done = kill_done,
	.free = free_kill,
};

/* NULL, or what is wrong with them. */
static const char *read_words(struct kill *x, const struct control_request *r)
{
	const char *text = control_text(r, "reason");
	int64_t code = control_number(r, "code");

	if (code > UINT16_MAX || (code >= 0 && !ws_code_valid((uint16_t)code)))
		return "code: expected one that may be sent, such as 1000, "
		       "1012 or 3000 to 4999";
	if (text && (strlen(text) > WS_CLOSE_REASON_MAX ||
			    !utf8_valid(text, strlen(text))))
		return "reason: expected UTF-8 of at most 123 bytes";
	x->code = code > 0 ? (uint16_t)code : 0;
	if (text)
		strcpy(x->text, text);
	return NULL;
}

static const char *read_kill(struct kill *x, const struct control_request *r)
{
	const char *why = closing_read_ids(&x->closing, r);

	if (!why)
		why = read_words(x, r);
	if (why || filter_read(&x->filter, r, &why) < 0)
		return why;
	if (x->closing.ids_n == 0 && !x->filter.route && !x->filter.sub &&
		!x->filter.key && !x->filter.kid && !x->filter.has_net)
		return "expected ids, route, sub, key, kid or ip: nothing else "
		       "says which clients";
	return NULL;
}

void command_kill(struct answer *a)
{
	struct visit *v = visit_new(a, &kill_kind);
	const char *why;

	if (!v)
		return;
	why = read_kill(CONTAINER_OF(v, struct kill, visit), a->request);
	if (!why) {
		visit_begin(v);
		return;
	}
	visit_drop(v);
	answer_usage(a, "%s", why);
}
