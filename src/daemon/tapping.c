#include "daemon/tapping.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "codec/ws.h"
#include "conf/conf.h"
#include "daemon/command.h"
#include "daemon/private.h"
#include "end/tap.h"
#include "gate/client.h"
#include "net/loop.h"

/* Bytes of a payload that are written at one time: groups of base64. */
#define PART ((size_t)3 * 1024)

/* Of --for: a year. */
#define TIME_MAX (INT64_C(366) * 86400 * 1000)

struct tapping {
	LIST_ENTRY(tapping) next; /* in daemon.tappings */
	struct answer *answer;
	struct tap *tap;
	struct timer time;     /* when --for is over */
	struct tap_item *item; /* its row is being written; NULL: none is */
	size_t written;        /* of its payload */
	char *left_out;        /* the routes that were named last; NULL: none */
	bool renewed;          /* others may be to be named */
	bool on;               /* that it has begun was said */
	const char *refused;   /* why it ends before its time; else NULL */
	uint64_t messages, dropped;
	int64_t begun_ms;
};

static const char *const directions[] = {
	[END_CLIENT] = "from_client", [END_BACKEND] = "to_client"
};

/* --- rows -----------------------------------------------------------------*/

/* Takes the text; failed: there was no memory for it. */
static void add_text(struct tapping *x, struct buf *text, bool failed)
{
	if (failed)
		answer_cut(x->answer);
	else
		answer_add(x->answer, text->p, text->n);
	buf_free(text);
}

static bool is_text(const struct tapping *x)
{
	return x->item->opcode == WS_TEXT;
}

static void add_dropped(struct tapping *x, uint64_t n)
{
	if (n == 0)
		return;
	x->dropped += n;
	ANSWER_ROW(x->answer, F_INT("dropped", n));
}

/* Up to the quotes of its payload, which follows. */
static void begin_row(struct tapping *x)
{
	const struct tap_item *i = x->item;
	struct buf out = { 0 };
	char id[CLIENT_ID_TEXT];
	int failed;

	add_dropped(x, i->dropped);
	failed = JSON_LINE(&out, F_INT("at_us", i->at_us),
		F_STR("direction", directions[i->from]),
		F_STR("route", i->route), F_STR("hub", i->hub),
		i->id ? F_STR("id",
				client_id(&(struct client){ .id = i->id }, id))
		      : F_NONE,
		F_STR("opcode", is_text(x) ? "text" : "binary"),
		F_INT("size_bytes", i->size),
		i->n < i->size ? F_INT("cut_bytes", i->size - i->n) : F_NONE);
	if (failed == 0)
		out.n -= 2; /* its brace and LF come behind the payload */
	if (failed == 0)
		failed = buf_add_printf(
			&out, ",\"%s\":\"", is_text(x) ? "text" : "base64");
	x->written = 0;
	add_text(x, &out, failed < 0);
}

static int add_characters(struct tapping *x, struct buf *out)
{
	struct str left = { (const char *)x->item->data + x->written,
		x->item->n - x->written };
	int failed = json_add_characters(out, &left, PART);

	x->written = x->item->n - left.n;
	return failed;
}

static int add_base64(struct tapping *x, struct buf *out)
{
	char text[BASE64_LENGTH(PART)];
	size_t n = x->item->n - x->written;

	if (n > PART)
		n = PART;
	x->written += n;
	return buf_add(out, text,
		base64_encode(text, x->item->data + x->written - n, n),
		SIZE_MAX);
}

/* The next part of the payload, or what ends the row. */
static void go_on_with_row(struct tapping *x)
{
	struct buf out = { 0 };
	int failed;

	if (x->written < x->item->n) {
		failed = is_text(x) ? add_characters(x, &out)
				    : add_base64(x, &out);
	} else {
		failed = buf_add_str(&out, STR("\"}\n"));
		tap_item_free(x->tap, x->item);
		x->item = NULL;
		x->messages++;
	}
	add_text(x, &out, failed < 0);
}

/* "a, b": routes with tap = no; NULL: there is none, or no memory. */
static char *routes_left_out(const struct conf *conf)
{
	struct buf names = { 0 };
	char *text = NULL;

	for (size_t i = 0; i < conf->routes_n; i++)
		if (!conf->routes[i].tap &&
			buf_add_printf(&names, "%s%s", names.n ? ", " : "",
				conf->routes[i].section.name) < 0)
			break;
	if (names.n > 0)
		text = str_dup(buf_str(&names));
	buf_free(&names);
	return text;
}

static void tell_left_out(struct tapping *x)
{
	char *before = x->left_out;
	char *now = tap_filter(x->tap)->route
			    ? NULL
			    : routes_left_out(x->answer->daemon->conf);

	x->renewed = false;
	x->left_out = now;
	if (now && (!before || strcmp(before, now) != 0))
		ANSWER_ROW(x->answer, F_STR("left_out", now));
	free(before);
}

/* False: there is nothing to write. */
static bool write_some(struct tapping *x)
{
	uint64_t dropped;

	if (x->item) {
		go_on_with_row(x);
		return true;
	}
	if (x->refused)
		return false;
	if (x->renewed)
		tell_left_out(x);
	if (!x->on && tap_is_on(x->tap)) {
		x->on = true;
		ANSWER_ROW(x->answer, F_INT("began_us", clock_unix_us()));
	}
	x->item = tap_take(x->tap);
	if (x->item) {
		begin_row(x);
		return true;
	}
	dropped = tap_take_dropped(x->tap);
	add_dropped(x, dropped);
	return dropped > 0;
}

static void more(struct answer *a)
{
	struct tapping *x = a->state;

	while (answer_goes_on(a)) {
		if (write_some(x))
			continue;
		if (x->refused) {
			answer_refuse(a, "%s", x->refused);
			return;
		}
		if (tap_is_over(x->tap)) {
			answer_end(a);
			return;
		}
		if (tap_wait(x->tap))
			return; /* it calls */
	}
	answer_continue(a);
}

/* --- its life -------------------------------------------------------------*/

static void called(void *owner)
{
	struct tapping *x = owner;

	answer_continue(x->answer);
}

static void time_over(struct timer *t)
{
	struct tapping *x = CONTAINER_OF(t, struct tapping, time);

	tap_stop(x->tap);
	answer_continue(x->answer);
}

static void log_end(const struct tapping *x)
{
	const struct answer *a = x->answer;

	LOG(LOG_INFO, "tap-end", F_STR("command", a->request->command->name),
		F_INT("uid", a->uid),
		a->says_uid >= 0 ? F_INT("says_uid", a->says_uid) : F_NONE,
		F_INT("pid", a->pid), F_INT("messages", x->messages),
		F_INT("dropped", x->dropped),
		F_INT("age_ms", loop_now(a->daemon->loop) - x->begun_ms));
}

static void left(struct answer *a)
{
	struct tapping *x = a->state;
	struct daemon *d = a->daemon;

	log_end(x);
	LIST_REMOVE(x, next);
	d->tappings_n--;
	timer_fini(d->loop, &x->time);
	if (x->item)
		tap_item_free(x->tap, x->item);
	tap_close(x->tap);
	free(x->left_out);
	free(x);
}

/* NULL without memory. Takes what f has, in any case. */
static struct tapping *tapping_new(struct answer *a, struct tap_filter *f)
{
	struct daemon *d = a->daemon;
	struct tapping *x = calloc(1, sizeof(*x));

	if (!x || timer_init(d->loop, &x->time, time_over) < 0) {
		tap_filter_free(f);
		free(x);
		return NULL;
	}
	x->tap = tap_open(&(struct tap_params){ .filter = *f,
		.shared = &d->shared,
		.reader = &d->mailbox,
		.called = called,
		.owner = x });
	if (x->tap)
		return x;
	timer_fini(d->loop, &x->time);
	free(x);
	return NULL;
}

/* -1 without memory. */
static int add_limits(struct tap_filter *f, const struct control_request *r)
{
	const char *route = control_text(r, "route");
	int64_t limit = control_number(r, "limit");

	f->limit = limit > 0 ? (uint64_t)limit : 0;
	if (route && !f->route)
		f->route = str_dup(str_of(route));
	return route && !f->route ? -1 : 0;
}

/* NULL, or why there can be no such tap. */
static const char *check(const struct answer *a, const struct tap_filter *f)
{
	const struct conf_route *route = NULL;

	if (f->route)
		route = conf_find_route(a->daemon->conf, str_of(f->route));
	if (f->route && !route)
		return "there is no route of this name";
	if (route && !route->tap)
		return "the route has tap = no";
	if (control_number(a->request, "limit") == 0)
		return "limit: expected 1 or more";
	if (a->daemon->tappings_n == TAPPINGS_MAX)
		return "4 taps are on already";
	return NULL;
}

void tapping_begin(struct answer *a, struct tap_filter *f)
{
	struct daemon *d = a->daemon;
	int64_t time = control_number(a->request, "for");
	const char *why = "no memory";
	struct tapping *x = NULL;

	if (add_limits(f, a->request) == 0)
		why = check(a, f);
	if (why) {
		tap_filter_free(f);
		answer_refuse(a, "%s", why);
		return;
	}
	x = tapping_new(a, f);
	if (!x) {
		answer_refuse(a, "no memory");
		return;
	}
	x->answer = a;
	x->begun_ms = loop_now(d->loop);
	x->renewed = true;
	LIST_INSERT_HEAD(&d->tappings, x, next);
	d->tappings_n++;
	if (time >= 0)
		timer_set(d->loop, &x->time,
			x->begun_ms + (time < TIME_MAX ? time : TIME_MAX));
	a->state = x;
	a->more = more;
	a->left = left;
	a->endless = true;
	answer_continue(a);
}

/* It is of one route, which a reload has forbidden. */
static bool is_forbidden(const struct tapping *x, const struct conf *conf)
{
	const char *name = tap_filter(x->tap)->route;
	const struct conf_route *r = NULL;

	if (name)
		r = conf_find_route(conf, str_of(name));
	return r && !r->tap;
}

void tappings_renew(struct daemon *d)
{
	struct tapping *x;

	LIST_FOREACH (x, &d->tappings, next) {
		if (is_forbidden(x, d->conf)) {
			x->refused = "the route has tap = no since a reload";
			tap_stop(x->tap);
		}
		x->renewed = true;
		answer_continue(x->answer);
	}
}
