/*
 * metrics.def -> table: for each metric what is read, and from where
 *   metrics_write: metric after metric, and of one with routes, route after
 *   route -> lines: name{labels} value
 *
 * What is counted is the sum of what each worker has counted for itself.
 */
#include "front/metrics.h"

#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/reason.h"
#include "conf/conf.h"
#include "front/metrics_read.h"
#include "net/loop.h"
#include "worker/route_counters.h"
#include "worker/worker.h"

#define PART (16u * 1024)

enum type { COUNTER, GAUGE, HISTOGRAM };

/* Labels with a few values: the index of a counter in its array. */
enum dim {
	DIM_NONE,
	DIM_DIRECTION, /* enum count_side */
	DIM_SIDE,      /* likewise */
	DIM_RESULT,    /* enum count_result */
	DIM_CAUSE,     /* enum count_pause */
	DIM_MODE,      /* enum loop_delay */
	DIM_REASON,    /* enum reason: those that have occurred */
};

static const struct {
	const char *label;
	unsigned n;
	const char *words[2]; /* of all but reasons */
} dims[] = {
	[DIM_NONE] = { "", 1, { "" } },
	[DIM_DIRECTION] = { "direction", 2, { "from_client", "to_client" } },
	[DIM_SIDE] = { "side", 2, { "client", "backend" } },
	[DIM_RESULT] = { "result", 2, { "ok", "failed" } },
	[DIM_CAUSE] = { "cause", 2, { "queue", "rate" } },
	[DIM_MODE] = { "mode", 2, { "pair", "hub" } },
	[DIM_REASON] = { "reason", REASON_COUNT, { 0 } },
};

/* The struct that has a metric's counter, and of which workers it is summed. */
enum base {
	IN_NONE,     /* none: the metric reads or writes itself */
	IN_COUNTERS, /* struct counters, of all workers */
	IN_LOOPS,    /* struct loop_stats, of all workers */
	IN_LOOP,     /* likewise, each worker's own */
	IN_ROUTE,    /* struct route_counters, of all workers */
};

enum kind { KIND_COUNTER, KIND_HISTOGRAM, KIND_HISTOGRAM_COUNT };

struct metric {
	const char *name;
	const char *help;
	uint8_t type; /* enum type */
	uint8_t base, kind;
	uint8_t dim, dim2; /* enum dim */
	size_t at, less;   /* in the base; 0 is no less */
	const struct histogram_scale *scale;
	double (*read)(const struct worker *w);
	int (*list)(struct metrics_list *l, struct buf *out);
};

#define AT(base_, struct_, field, kind_)                                       \
	.base = base_, .kind = kind_, .at = offsetof(struct struct_, field)
#define ONE(function)   .base = IN_NONE, .read = metrics_read_##function
#define LIST(function)  .base = IN_NONE, .list = metrics_list_##function
#define COUNTERS(field) AT(IN_COUNTERS, counters, field, KIND_COUNTER)
#define COUNTERS_BY(field, by)                                                 \
	AT(IN_COUNTERS, counters, field, KIND_COUNTER), .dim = by
#define COUNTERS_HISTOGRAM(field, scale_)                                      \
	AT(IN_COUNTERS, counters, field, KIND_HISTOGRAM), .scale = &scale_
#define LOOPS_HISTOGRAM(field, scale_)                                         \
	AT(IN_LOOP, loop_stats, field, KIND_HISTOGRAM), .scale = &scale_
#define LOOP_HISTOGRAM_BY(field, by, scale_)                                   \
	AT(IN_LOOPS, loop_stats, field, KIND_HISTOGRAM), .dim = by,            \
							 .scale = &scale_
#define ROUTE_BY(field, by)                                                    \
	AT(IN_ROUTE, route_counters, field, KIND_COUNTER), .dim = by
#define ROUTE_BY_TWO(field, by, by2)                                           \
	AT(IN_ROUTE, route_counters, field, KIND_COUNTER), .dim = by,          \
							   .dim2 = by2
#define ROUTE_DIFFERENCE(field, less_)                                         \
	AT(IN_ROUTE, route_counters, field, KIND_COUNTER),                     \
		.less = offsetof(struct route_counters, less_)
#define ROUTE_HISTOGRAM(field, scale_)                                         \
	AT(IN_ROUTE, route_counters, field, KIND_HISTOGRAM), .scale = &scale_
#define ROUTE_HISTOGRAM_BY(field, by, scale_)                                  \
	AT(IN_ROUTE, route_counters, field, KIND_HISTOGRAM), .dim = by,        \
							     .scale = &scale_
#define ROUTE_COUNT_BY(field, by)                                              \
	AT(IN_ROUTE, route_counters, field, KIND_HISTOGRAM_COUNT), .dim = by

static const struct metric table[] = {
#define METRIC(name_, type_, labels, source, help_)                            \
	{ .name = #name_, .type = type_, .help = help_, source },
#include "front/metrics.def"
#undef METRIC
};

struct metrics {
	struct worker *worker;
	struct conf *conf;                 /* a reference */
	size_t at;                         /* in the table */
	bool begun;                        /* its first lines are written */
	const struct route_record *record; /* the next one, of IN_ROUTE */
	struct metrics_list list;          /* of one that lists itself */
};

/* --- reading ---------------------------------------------------------------*/

/* Which counters: those of a worker, of a route where the metric has routes. */
static const char *base_of(const struct metric *x, const struct worker *w,
	const struct route_record *record)
{
	switch ((enum base)x->base) {
	case IN_COUNTERS:
		return (const char *)&w->counters;
	case IN_LOOPS:
	case IN_LOOP:
		return (const char *)&w->loop->stats;
	case IN_ROUTE:
		return (const char *)&record->of[w->index];
	case IN_NONE:
		break;
	}
	abort();
}

struct series { /* of a metric: what its lines are of */
	const struct metric *x;
	const struct route_record *record; /* IN_ROUTE */
	const struct worker *worker;       /* IN_LOOP; NULL: the sum of all */
	size_t dim, dim2;                  /* indices */
};

static size_t index_of(const struct series *s)
{
	return s->dim * dims[s->x->dim2].n + s->dim2;
}

static uint64_t read_at(
	const struct series *s, const struct worker *w, size_t offset)
{
	const char *p = base_of(s->x, w, s->record) + offset;

	if (s->x->kind == KIND_HISTOGRAM_COUNT)
		return histogram_count(
			(const struct histogram *)(const void *)p +
			index_of(s));
	return counter_read(
		(const atomic_uint_least64_t *)(const void *)p + index_of(s));
}

/*
 * A gauge is what came less what went, in this order: what goes in between has
 * come, too, but may not have been seen to.
 */
static uint64_t read_value(const struct shared *all, const struct series *s)
{
	uint64_t less = 0, n = 0;

	if (s->x->less)
		for (size_t i = 0; i < all->workers_n; i++)
			less += read_at(s, all->workers[i], s->x->less);
	for (size_t i = 0; i < all->workers_n; i++)
		n += read_at(s, all->workers[i], s->x->at);
	return n > less ? n - less : 0;
}

struct values { /* of a histogram */
	uint64_t counts[HISTOGRAM_BOUNDS + 1], sum;
};

static void read_histogram(
	const struct worker *w, const struct series *s, struct values *v)
{
	const char *p = base_of(s->x, w, s->record) + s->x->at;
	const struct histogram *h = (const struct histogram *)(const void *)p +
				    index_of(s);

	for (unsigned i = 0; i <= s->x->scale->n; i++)
		v->counts[i] += counter_read(&h->counts[i]);
	v->sum += counter_read(&h->sum);
}

/* --- lines -----------------------------------------------------------------*/

/* 'a="b",' for each label: what braces enclose, with a comma too many. */
struct labels {
	char text[256];
	size_t n;
};

static void add_label(struct labels *l, const char *label, const char *value)
{
	size_t room = sizeof(l->text) - l->n;
	int n = snprintf(l->text + l->n, room, "%s=\"%s\",", label, value);

	/* Names of sections are short, and need no escapes. */
	if (n > 0 && (size_t)n < room)
		l->n += (size_t)n;
}

static const char *word_of(uint8_t dim, size_t i)
{
	if (dim == DIM_REASON)
		return reason_get((enum reason)i)->word;
	return dims[dim].words[i];
}

static void labels_of(const struct series *s, struct labels *l)
{
	char number[24];

	*l = (struct labels){ .n = 0 };
	if (s->record)
		add_label(l, "route", s->record->name);
	if (s->worker) {
		snprintf(number, sizeof(number), "%zu", s->worker->index);
		add_label(l, "worker", number);
	}
	if (s->x->dim)
		add_label(l, dims[s->x->dim].label, word_of(s->x->dim, s->dim));
	if (s->x->dim2)
		add_label(l, dims[s->x->dim2].label,
			word_of(s->x->dim2, s->dim2));
}

/* In braces, unless there are none. */
static int add_labels(struct buf *out, const struct labels *l)
{
	if (l->n == 0)
		return 0;
	return buf_add_printf(out, "{%.*s}", (int)l->n - 1, l->text);
}

/*
 * Of many routes few know many reasons, and half of the histograms: these come
 * with their first value, and so does whatever is not of any route.
 */
static bool is_quiet(const struct series *s, uint64_t n)
{
	return n == 0 && s->record &&
	       (s->x->dim == DIM_REASON || s->x->kind == KIND_HISTOGRAM ||
		       s->record->name[0] == '\0');
}

static uint64_t histogram_total(const struct values *v)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		n += v->counts[i];
	return n;
}

static int write_histogram(const struct shared *all, const struct series *s,
	const struct labels *l, struct buf *out)
{
	const struct histogram_scale *scale = s->x->scale;
	const char *name = s->x->name;
	struct values v = { .sum = 0 };
	uint64_t n = 0;

	if (s->worker)
		read_histogram(s->worker, s, &v);
	for (size_t i = 0; !s->worker && i < all->workers_n; i++)
		read_histogram(all->workers[i], s, &v);
	if (is_quiet(s, histogram_total(&v)))
		return 0;
	for (unsigned i = 0; i < scale->n; i++) {
		n += v.counts[i];
		if (buf_add_printf(out, "%s_bucket{%sle=\"%.10g\"} %llu\n",
			    name, l->text,
			    (double)scale->bounds[i] * scale->unit,
			    (unsigned long long)n) < 0)
			return -1;
	}
	n += v.counts[scale->n];
	if (buf_add_printf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n%s_sum", name,
		    l->text, (unsigned long long)n, name) < 0 ||
		add_labels(out, l) < 0 ||
		buf_add_printf(out, " %.15g\n%s_count",
			(double)v.sum * scale->unit, name) < 0 ||
		add_labels(out, l) < 0)
		return -1;
	return buf_add_printf(out, " %llu\n", (unsigned long long)n);
}

static int write_series(
	const struct shared *all, const struct series *s, struct buf *out)
{
	struct labels l;
	uint64_t value;

	labels_of(s, &l);
	if (s->x->kind == KIND_HISTOGRAM)
		return write_histogram(all, s, &l, out);
	value = read_value(all, s);
	if (is_quiet(s, value))
		return 0;
	if (buf_add_printf(out, "%s", s->x->name) < 0 ||
		add_labels(out, &l) < 0)
		return -1;
	return buf_add_printf(out, " %llu\n", (unsigned long long)value);
}

static int write_dims(
	const struct shared *all, struct series *s, struct buf *out)
{
	for (s->dim = 0; s->dim < dims[s->x->dim].n; s->dim++)
		for (s->dim2 = 0; s->dim2 < dims[s->x->dim2].n; s->dim2++)
			if (write_series(all, s, out) < 0)
				return -1;
	return 0;
}

/* --- metric after metric ---------------------------------------------------*/

static int write_head(const struct metric *x, struct buf *out)
{
	static const char *const types[] = { [COUNTER] = "counter",
		[GAUGE] = "gauge",
		[HISTOGRAM] = "histogram" };

	return buf_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", x->name,
		x->help, x->name, types[x->type]);
}

/* 1: the metric has more, 0: that was all of it, -1: no memory. */
static int write_own(struct metrics *m, const struct metric *x, struct buf *out)
{
	double value;

	if (x->list) {
		m->list.name = x->name;
		return x->list(&m->list, out);
	}
	value = x->read(m->worker);
	if (value < 0) /* this system does not tell */
		return 0;
	return buf_add_printf(out, "%s %.15g\n", x->name, value);
}

static int write_some(
	struct metrics *m, const struct metric *x, struct buf *out)
{
	const struct shared *all = m->worker->shared;
	struct series s = { .x = x };

	switch ((enum base)x->base) {
	case IN_NONE:
		return write_own(m, x, out);
	case IN_COUNTERS:
	case IN_LOOPS:
		return write_dims(all, &s, out);
	case IN_LOOP:
		for (size_t i = 0; i < all->workers_n; i++) {
			s.worker = all->workers[i];
			if (write_dims(all, &s, out) < 0)
				return -1;
		}
		return 0;
	case IN_ROUTE:
		s.record = m->record ? m->record : all->records->first;
		if (write_dims(all, &s, out) < 0)
			return -1;
		m->record = route_record_next(s.record);
		return m->record ? 1 : 0;
	}
	abort();
}

static int write_step(struct metrics *m, struct buf *out)
{
	const struct metric *x = &table[m->at];
	int more;

	if (!m->begun && write_head(x, out) < 0)
		return -1;
	m->begun = true;
	more = write_some(m, x, out);
	if (more != 0)
		return more;
	m->begun = false;
	return ++m->at < ARRAY_SIZE(table) ? 1 : 0;
}

int metrics_write(struct metrics *m, struct buf *out)
{
	size_t end = out->n + PART;
	int more;

	do
		more = write_step(m, out);
	while (more > 0 && out->n < end &&
		loop_share_left_now(m->worker->loop));
	return more;
}

struct metrics *metrics_begin(struct worker *w)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->worker = w;
	m->conf = conf_ref(w->conf);
	m->list = (struct metrics_list){ .worker = w, .conf = m->conf };
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	metrics_list_fini(&m->list);
	conf_unref(m->conf);
	free(m);
}

void metrics_note_reload(struct shared *s, bool good)
{
	struct reloads *r = &s->reloads;

	counter_add(&r->done[good ? COUNT_OK : COUNT_FAILED], 1);
	atomic_store(&r->last_good, good);
	if (good)
		atomic_store(&r->good_ms, clock_unix_ms());
}
