#include "explain/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/auth.h"
#include "gate/identity.h"
#include "gate/subprotocol.h"
#include "explain/private.h"

#define OK      "ok"
#define NO      "no"
#define UNKNOWN "unknown"

#define NOBODY_ASKED "no daemon was asked"

const struct conf_listen *explain_find_listen(
	const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->listens_n; i++) {
		const struct conf_listen *l = &conf->listens[i];

		if (name ? strcmp(l->section.name, name) == 0
			 : l->role == CONF_ROLE_PUBLIC)
			return l;
	}
	return NULL;
}

/* --- what the steps of the gate say ---------------------------------------*/

struct words { /* of one line */
	char name[DETAIL_MAX];
	char detail[DETAIL_MAX];
};

static void set_name(struct words *w, struct str name)
{
	detail_print(w->name, "", name);
}

static void set_detail(struct words *w, const char *text)
{
	detail_print(w->detail, "", str_of(text));
}

static void word_address(const struct explaining *x, struct words *w)
{
	char text[ADDR_TEXT];

	set_name(w, str_of(addr_format_ip(&x->client.peer, text)));
	if (!x->asked->from)
		set_detail(w, "assumed: --from says another");
}

static void word_host(const struct explaining *x, struct words *w)
{
	set_name(w, x->question.host);
	if (x->question.host_assumed)
		set_detail(w, "assumed: --host says another");
}

static void word_origin(const struct explaining *x, struct words *w)
{
	static const char *const kinds[] = {
		[CONF_ORIGINS_SAME] = "origins = same",
		[CONF_ORIGINS_ANY] = "origins = any",
		[CONF_ORIGINS_LIST] = "it is in the list of origins",
	};

	set_name(w, x->request.origin);
	set_detail(w, x->request.origin.p
			      ? kinds[x->way.route->origins_kind]
			      : "none: it is no page that asks (--origin)");
}

static void word_token(const struct explaining *x, struct words *w)
{
	const struct client_verdict *v = &x->client.verdict;
	int auth = x->way.route ? x->way.route->auth : x->way.page.page->auth;

	if (v->key)
		set_name(w, str_of(v->key));
	if (auth == CONF_AUTH_NONE)
		set_detail(w, "auth = none");
	else if (v->key)
		snprintf(w->detail, sizeof(w->detail),
			"good for another %lld s",
			(long long)(v->token_exp - clock_unix_ms()) / 1000);
}

static void word_subject(const struct explaining *x, struct words *w)
{
	const char *subject = client_subject(&x->client);

	if (subject)
		set_name(w, str_of(subject));
	else
		set_detail(w, "none");
}

static void word_certificate(const struct explaining *x, struct words *w)
{
	if (x->client.certificate)
		set_name(w, str_of(x->client.certificate));
	else
		set_detail(w, "none is asked for");
}

static const struct {
	const char *step;
	void (*word)(const struct explaining *x, struct words *w);
} step_words[] = {
	{ "address", word_address },
	{ "host", word_host },
	{ "origin", word_origin },
	{ "token", word_token },
	{ "subject", word_subject },
	{ "certificate", word_certificate },
};

static void find_words(
	const struct explaining *x, const char *step, struct words *w)
{
	*w = (struct words){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(step_words); i++)
		if (strcmp(step_words[i].step, step) == 0)
			step_words[i].word(x, w);
}

/* What the log would say besides, if the name is not that. */
static bool says_more(const char *detail, const struct words *w)
{
	return detail && strcmp(detail, w->name) != 0;
}

static void step_said(
	void *owner, const struct gate_step *step, enum reason reason)
{
	struct explaining *x = owner;
	const struct reason_info *r = reason_get(reason);
	bool unknown = step->running && !x->asked->shared;
	struct words w;

	find_words(x, step->word, &w);
	if (unknown)
		set_detail(&w, NOBODY_ASKED);
	else if (reason != REASON_NONE)
		set_detail(&w, says_more(x->detail.text, &w) ? x->detail.text
							     : r->text);
	explain_tell(x, step->word,
		unknown                 ? UNKNOWN
		: reason == REASON_NONE ? OK
					: r->word,
		w.name[0] ? w.name : NULL, w.detail[0] ? w.detail : NULL);
}

/* --- which route, which page ----------------------------------------------*/

static void tell_fit(struct explaining *x, const char *step,
	const struct conf_section *s, enum gate_fit fit, struct str about)
{
	static const char *const words[] = {
		[GATE_FITS] = "its path is ",
		[GATE_OTHER_LISTEN] = "it is not on this listener",
		[GATE_OTHER_HOST] = "its host is ",
		[GATE_OTHER_PATH] = "its path is ",
	};
	char detail[DETAIL_MAX];

	detail_print(detail, words[fit],
		fit == GATE_OTHER_LISTEN ? STR_NONE : about);
	explain_tell(x, step, fit == GATE_FITS ? OK : NO, s->name, detail);
}

static bool tell_route(
	struct explaining *x, const char *step, const struct conf_route *r)
{
	struct captures captures;
	enum gate_fit fit = gate_fit_route(
		r, x->asked->listen, &x->request, &captures);

	tell_fit(x, step, &r->section, fit,
		fit == GATE_OTHER_HOST ? str_of(r->host)
				       : str_of(pattern_text(r->pattern)));
	return fit == GATE_FITS;
}

/*
 * Up to the one that is taken, in the order of gate_find_route; the others are
 * not looked at.
 */
static void tell_routes(struct explaining *x)
{
	const struct conf *c = x->asked->conf;
	bool taken = false;

	for (size_t i = 0; i < c->attaches_n && !taken; i++)
		taken = tell_route(x, "attach", &c->attaches[i].entrance);
	for (size_t i = 0; i < c->routes_n && !taken; i++)
		taken = tell_route(x, "route", &c->routes[i]);
}

static void tell_pages(struct explaining *x)
{
	const struct conf *c = x->asked->conf;
	const struct conf_page *taken = x->way.page.page;

	for (size_t i = 0; i < c->pages_n; i++) {
		const struct conf_page *p = &c->pages[i];
		enum gate_fit fit = page_fit(
			p, x->asked->listen, x->request.path);

		if (fit == GATE_FITS && p != taken)
			explain_tell(x, "page", NO, p->section.name,
				"another one has a longer prefix");
		else
			tell_fit(x, "page", &p->section, fit, str_of(p->path));
	}
}

/* --- the verdict ----------------------------------------------------------*/

static enum explain_result let_in(struct explaining *x, const char *what)
{
	explain_tell(x, "verdict", "let-in", NULL, what);
	return EXPLAIN_LET_IN;
}

/* An address that guesses tokens is told to wait; so is this one. */
static enum explain_result refused(struct explaining *x, enum reason reason)
{
	const struct reason_info *r;
	char detail[DETAIL_MAX];

	reason = admission_failed(
		x->asked->shared, &x->client, reason, x->asked->now_ms);
	r = reason_get(reason);
	if (r->code)
		snprintf(detail, sizeof(detail),
			"%s: HTTP status %d, or close code %d", r->text,
			r->status, r->code);
	else
		snprintf(detail, sizeof(detail), "%s: HTTP status %d", r->text,
			r->status);
	explain_tell(x, "verdict", "refused", r->word, detail);
	return EXPLAIN_REFUSED;
}

/* --- all ------------------------------------------------------------------*/

static void tell_subprotocol(struct explaining *x)
{
	const struct conf_route *r = x->way.route;
	struct str selected = subprotocol_select(r, &x->request);
	char name[DETAIL_MAX];

	if (!x->asked->protocol)
		return;
	if (r->to.kind == BACKEND_WS) {
		explain_tell(x, "subprotocol", UNKNOWN, NULL,
			"the backend selects it");
		return;
	}
	if (!selected.p && subprotocol_is_offered(
				   &x->request, STR(AUTH_SUBPROTOCOL_PLAIN)))
		selected = STR(AUTH_SUBPROTOCOL_PLAIN);
	detail_print(name, "", selected);
	explain_tell(x, "subprotocol", selected.p ? OK : NO,
		selected.p ? name : NULL,
		selected.p ? NULL
			   : "none is selected: browsers drop the connection");
}

/* Whether the token was used is a part of its own step. */
static void tell_rights(struct explaining *x)
{
	const struct client_verdict *v = &x->client.verdict;
	bool running = x->asked->shared;

	if (v->key && x->way.route->single_use)
		explain_tell(x, "single_use", running ? OK : UNKNOWN, NULL,
			running ? "the token was not used before"
				: NOBODY_ASKED);
	explain_tell(
		x, "perm", jwt_perm_word((enum jwt_perm)v->perm), NULL, NULL);
}

/* Of a hub one program may be there already. */
static enum reason check_programs(struct explaining *x)
{
	static const struct gate_step step = { .word = "programs",
		.running = true };
	const struct conf_route *r = x->way.route;
	enum reason reason = admission_look_process(r);

	if (r->to.kind != BACKEND_EXEC || r->mode != CONF_MODE_PAIR)
		return REASON_NONE;
	x->detail.text = NULL;
	step_said(x, &step, reason);
	return reason;
}

static enum explain_result explain_route(struct explaining *x)
{
	enum reason reason;

	tell_routes(x);
	x->client.route = x->way.route;
	reason = gate_pass(GATE_ROUTE, &x->check);
	if (reason == REASON_NONE)
		reason = check_programs(x);
	if (reason == REASON_NONE) {
		tell_rights(x);
		tell_subprotocol(x);
	}
	explain_backend(x);
	explain_limits(x);
	return reason == REASON_NONE
		       ? let_in(x,
				 "a WebSocket, as soon as its backend is open")
		       : refused(x, reason);
}

static enum explain_result explain_page(struct explaining *x)
{
	enum reason reason;

	tell_routes(x);
	tell_pages(x);
	x->check.page = x->way.page.page;
	reason = gate_pass(GATE_PAGE, &x->check);
	return reason == REASON_NONE ? let_in(x, "a page, if it has this file")
				     : refused(x, reason);
}

static enum explain_result explain_way(struct explaining *x)
{
	switch (x->way.kind) {
	case WAY_NOWHERE:
		tell_routes(x);
		tell_pages(x);
		break;
	case WAY_ADMIN:
		if (str_eq(x->request.path, STR("/metrics")))
			return let_in(x, "the metrics");
		break;
	case WAY_BUILTIN:
		return let_in(x, "it is built in");
	case WAY_ROUTE:
		return explain_route(x);
	case WAY_PAGE:
		return explain_page(x);
	}
	return refused(x, REASON_NOT_FOUND);
}

static bool memory_full(void *owner)
{
	struct explaining *x = owner;

	return budget_is_full(&x->asked->shared->budget);
}

/* A request for a WebSocket, or for a page. -1 without memory. */
static int make_request(struct explaining *x, bool upgrade)
{
	struct gate_check *g = &x->check;

	request_free(&x->request);
	x->head.n = 0;
	if (question_write(&x->head, &x->question, upgrade) < 0)
		return -1;
	g->parsed = request_parse(&x->request, (const char *)x->head.p,
		x->head.n,
		&(struct request_source){ .listen = x->asked->listen,
			.address = x->asked->address,
			.peer = &x->question.peer,
			.secure = x->question.secure },
		&g->why);
	x->way = (struct way){ .kind = WAY_NOWHERE };
	if (g->parsed == REASON_NONE || g->parsed == REASON_HOST)
		way_find(
			&x->way, x->asked->conf, x->asked->listen, &x->request);
	return 0;
}

static enum explain_result run(struct explaining *x)
{
	struct gate_check *g = &x->check;
	enum reason reason;
	bool upgrade = true;

	if (make_request(x, true) < 0)
		return EXPLAIN_NO_MEMORY;
	if (x->way.kind != WAY_ROUTE &&
		(g->parsed == REASON_NONE || g->parsed == REASON_HOST)) {
		upgrade = false;
		if (make_request(x, false) < 0)
			return EXPLAIN_NO_MEMORY;
	}
	explain_tell(x, "listener", OK, x->asked->listen->section.name,
		x->asked->address->text);
	explain_tell(x, "asked", upgrade ? "upgrade" : "page", NULL,
		upgrade ? "for a WebSocket"
			: "with GET, as no route has this path");
	x->client.peer = x->question.peer;
	reason = gate_check_socket(x->asked->listen, &x->client.peer);
	if (reason != REASON_NONE) {
		step_said(x, &(struct gate_step){ .word = "address" }, reason);
		return refused(x, reason);
	}
	if (!upgrade && way_is_health(&x->request))
		return let_in(x, "the relay's health, of which all are told");
	if (x->asked->shared)
		g->over = admission_enter(
			x->asked->shared, &x->client, x->asked->now_ms);
	reason = gate_pass(GATE_ARRIVAL, g);
	return reason == REASON_NONE ? explain_way(x) : refused(x, reason);
}

enum explain_result explain(const struct explain_question *q, explain_fn *tell,
	void *arg, const char **why)
{
	struct explaining x = { .asked = q, .tell = tell, .arg = arg };
	enum explain_result result;

	if (question_init(&x.question, q, why) < 0)
		return EXPLAIN_USAGE;
	x.client = (struct client){ .conf = q->conf,
		.listen = q->listen,
		.certificate = (char *)(uintptr_t)q->certificate,
		.tickets = { .look = true } };
	x.check = (struct gate_check){ .shared = q->shared,
		.request = &x.request,
		.client = &x.client,
		.detail = &x.detail,
		.memory_full = memory_full,
		.said = step_said,
		.owner = &x };
	result = run(&x);
	free(x.client.verdict.identity);
	free(x.client.verdict.bearer);
	request_free(&x.request);
	buf_free(&x.head);
	return x.no_memory ? EXPLAIN_NO_MEMORY : result;
}
