#include "attach/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "net/tls.h"
#include "attach/place.h"
#include "attach/say.h"

/* The listener is there because a configuration has one; nothing opens it. */
static int add_text(struct buf *out, const struct setup_params *p)
{
	const struct place *to = p->place;
	const char *open = strchr(to->host, ':') ? "[" : "";
	const char *close = *open ? "]" : "";

	return buf_add_printf(out,
		"[server]\nmax_memory = %u\n"
		"[listen none]\naddress = 127.0.0.1:1\n"
		"[route relay]\npath = /\nauth = none\nmode = hub\n"
		"backend = %s://%s%s%s:%u%s\n"
		"queue_limit = %u\n"
		"max_message = %u\nmax_backend_message = %u\n"
		"slow_text = %s\nslow_binary = %s\n"
		"close_timeout = 2s\n%s%s\n%s%s\n",
		SETUP_MEMORY, to->tls ? "wss" : "ws", open, to->host, close,
		to->port, to->path, p->queue_limit, SETUP_MESSAGE,
		SETUP_MESSAGE, p->slow_text, p->slow_binary,
		p->ca ? "backend_ca = " : "", p->ca ? p->ca : "",
		p->token_file ? "backend_token_file = " : "",
		p->token_file ? p->token_file : "");
}

/* The complaints of a text that is not the user's: what they say is enough. */
static void say_errors(struct str text)
{
	struct str line;

	while (text.n > 0) {
		char room[SAY_MAX];

		line = str_cut(&text, '\n');
		if (line.n > 0 && !conf_complaint_is_warning(line))
			say("%s", say_clean(room, line));
	}
}

static struct conf *load(const struct setup_params *p)
{
	struct buf text = { 0 }, errors = { 0 };
	struct conf *conf = NULL;

	if (add_text(&text, p) < 0) {
		say("no memory");
		goto out;
	}
	conf = conf_load_text("--attach", buf_str(&text), &errors);
	if (!conf)
		say_errors(buf_str(&errors));
out:
	buf_free(&errors);
	buf_free(&text);
	return conf;
}

/* The states of the sections, which a daemon has over all its snapshots. */
static int adopt(struct setup *s)
{
	struct route_record *record;

	if (route_records_init(&s->records, 1) < 0)
		return -1;
	record = route_records_get(&s->records, "relay", 1);
	if (!record)
		return -1;
	s->route.counters = record->of;
	s->conf->routes[0].state = &s->route;
	s->conf->listens[0].state = &s->listen;
	return 0;
}

void setup_init(struct setup *s)
{
	*s = (struct setup){ .shared = { .workers = s->workers,
				     .workers_n = 1,
				     .records = &s->records,
				     .step = -1 } };
	budget_init(&s->shared.budget, SETUP_MEMORY);
}

int setup_open(struct setup *s, struct loop *l, const struct setup_params *p)
{
	s->conf = load(p);
	if (!s->conf)
		return -1;
	if (tls_init() < 0 || adopt(s) < 0 ||
		!(s->worker = worker_new(&s->shared, s->conf, l))) {
		say("no memory");
		return -1;
	}
	s->workers[0] = s->worker;
	s->client = (struct client){ .conf = s->conf,
		.route = &s->conf->routes[0] };
	return 0;
}

void setup_free(struct setup *s)
{
	if (s->worker)
		worker_free(s->worker);
	s->worker = NULL;
	if (s->conf)
		conf_unref(s->conf);
	s->conf = NULL;
	route_records_fini(&s->records);
}
