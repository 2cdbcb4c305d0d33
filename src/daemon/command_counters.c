/*
 * counters: what /metrics says, as rows: one worker writes the text of a scrape
 * (front/metrics.h), from which each sample becomes a row. Buckets of histograms
 * and what is still 0 are left out.
 */
#include "daemon/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "daemon/visit.h"
#include "front/metrics.h"

struct counters {
	struct visit visit;
	struct metrics *metrics;
	struct buf text; /* lines that are rows yet to be */
};

static bool ends_in(struct str s, struct str end)
{
	return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

/* NAME VALUE, or NAME{LABELS} VALUE: no label of ours has a brace in it. */
static void add_sample(struct visit *v, struct str line)
{
	struct str left = line, name, labels = STR_NONE;

	if (memchr(line.p, '{', line.n)) {
		name = str_cut(&left, '{');
		labels = str_cut(&left, '}');
	} else {
		name = str_cut(&left, ' ');
	}
	left = str_trim(left);
	if (str_eq(left, STR("0")) || ends_in(name, STR("_bucket")))
		return;
	VISIT_ROW(v, F_VIEW("counter", name), F_VIEW("labels", labels),
		F_VIEW("value", left));
}

static void add_samples(struct counters *x)
{
	struct str left = buf_str(&x->text);
	size_t used = 0;

	while (left.n > 0 && memchr(left.p, '\n', left.n)) {
		struct str line = str_cut(&left, '\n');

		used += line.n + 1;
		if (line.n > 0 && line.p[0] != '#')
			add_sample(&x->visit, line);
	}
	buf_drop(&x->text, used);
}

/* On the first worker: a scrape is of all. */
static bool run(struct visit *v, struct worker *w)
{
	struct counters *x = CONTAINER_OF(v, struct counters, visit);
	int more;

	if (!x->metrics)
		x->metrics = metrics_begin(w);
	more = x->metrics ? metrics_write(x->metrics, &x->text) : -1;
	if (more < 0)
		v->failed = true;
	add_samples(x);
	v->enough = more <= 0; /* no other worker is asked */
	return more > 0;
}

static void free_counters(struct visit *v)
{
	struct counters *x = CONTAINER_OF(v, struct counters, visit);

	metrics_free(x->metrics);
	buf_free(&x->text);
}

static const struct visit_kind kind = {
	.size = sizeof(struct counters),
	.run = run,
	.free = free_counters,
};

void command_counters(struct answer *a)
{
	struct visit *v = visit_new(a, &kind);

	if (v)
		visit_begin(v);
}
