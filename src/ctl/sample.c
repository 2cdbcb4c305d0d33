#include "ctl/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/str.h"
#include "codec/control.h"
#include "ctl/call.h"
#include "ctl/cell.h"
#include "ctl/ctl.h"

/* --- taking one -----------------------------------------------------------*/

static const char *member(const json_t *row, const char *name)
{
	const char *text = name ? json_string_value(json_object_get(row, name))
				: NULL;

	return text ? text : "";
}

static const char *key_of(
	const struct sample_view *v, const json_t *row, char out[CELL_MAX])
{
	snprintf(out, CELL_MAX, "%s %s", member(row, v->id[0]),
		member(row, v->id[1]));
	return out;
}

/* Takes row. -1 without memory. */
static int add(struct sample *s, json_t *row)
{
	char key[CELL_MAX];

	if (s->n == s->capacity) {
		size_t n = s->capacity ? 2 * s->capacity : 64;
		json_t **rows = realloc(s->rows, n * sizeof(json_t *));

		if (!rows) {
			json_decref(row);
			return -1;
		}
		s->rows = rows;
		s->capacity = n;
	}
	s->rows[s->n++] = row;
	return json_object_set_nocheck(
		s->by_id, key_of(s->view, row, key), row);
}

static int ask(struct call *c, const char *command)
{
	json_t *request = json_pack("{s:s}", "command", command);
	int result = request ? call_ask(c, request) : -1;

	json_decref(request);
	return result;
}

/* 1: there is more, 0: that was the last, -1: it complained. */
static int take_line(struct sample *s, struct call *c)
{
	const char *status, *error;
	struct str line;
	json_t *row;
	bool good;

	if (call_line(c, &line) < 0)
		return -1;
	row = json_loadb(line.p, line.n, 0, NULL);
	status = json_string_value(json_object_get(row, "status"));
	if (!status) {
		if (!row || s->n == SAMPLE_ROWS) {
			json_decref(row);
			return 1;
		}
		if (add(s, row) == 0)
			return 1;
		ctl_complain("no memory");
		return -1;
	}
	error = json_string_value(json_object_get(row, "error"));
	good = strcmp(status, CONTROL_OK) == 0;
	if (!good)
		ctl_complain("%s", error ? error : status);
	json_decref(row);
	return good ? 0 : -1;
}

int sample_take(struct sample *s, struct call *c,
	const struct sample_view *view, struct sample *before)
{
	int more = -1;

	*s = (struct sample){ .view = view, .before = before };
	if (before)
		sample_free(before->before);
	if (before)
		before->before = NULL;
	if (before && before->view != view) {
		sample_free(before);
		s->before = NULL;
	}
	s->by_id = json_object();
	if (s->by_id && ask(c, view->command) == 0)
		do
			more = take_line(s, c);
		while (more > 0);
	s->at_ms = clock_monotonic_us() / 1000;
	return more;
}

void sample_free(struct sample *s)
{
	if (!s)
		return;
	sample_free(s->before);
	for (size_t i = 0; i < s->n; i++)
		json_decref(s->rows[i]);
	free(s->rows);
	json_decref(s->by_id);
	free(s);
}

/* --- its values -----------------------------------------------------------*/

/* NAN: it was not there before. */
static double rate(const struct sample *s, const char *name, const json_t *row)
{
	const json_t *before;
	char key[CELL_MAX];
	double seconds;

	if (!s->before)
		return NAN;
	before = json_object_get(s->before->by_id, key_of(s->view, row, key));
	seconds = (double)(s->at_ms - s->before->at_ms) / 1000;
	if (!before || seconds <= 0)
		return NAN;
	return (double)(json_integer_value(json_object_get(row, name)) -
			json_integer_value(json_object_get(before, name))) /
	       seconds;
}

double sample_value(const struct sample *s, const struct sample_column *c,
	const json_t *row)
{
	const json_t *value;

	if (c->member[0] == '+')
		return rate(s, c->member + 1, row);
	value = json_object_get(row, c->member);
	return json_is_integer(value) ? (double)json_integer_value(value) : NAN;
}

const char *sample_text(const struct sample *s, const struct sample_column *c,
	const json_t *row, char *out)
{
	const char *name = c->member;
	double value;
	json_t *number;

	if (name[0] != '+')
		return cell_format(out, name, json_object_get(row, name));
	value = sample_value(s, c, row);
	if (isnan(value)) {
		snprintf(out, CELL_MAX, "-");
		return out;
	}
	number = json_integer((json_int_t)(value + 0.5));
	cell_format(out, name, number);
	json_decref(number);
	return out;
}

/* qsort has no argument of its own; this program has one thread. */
static const struct sample *sorted;
static const struct sample_column *sorted_by;

static int compare(const void *a, const void *b)
{
	const json_t *one = *(json_t *const *)a, *other = *(json_t *const *)b;
	double x = sample_value(sorted, sorted_by, one);
	double y = sample_value(sorted, sorted_by, other);
	char p[CELL_MAX], q[CELL_MAX];

	if (isnan(x) != isnan(y))
		return isnan(x) ? 1 : -1;
	if (!isnan(x) && x != y)
		return x < y ? 1 : -1;
	if (isnan(x) && sorted_by->member[0] != '+') {
		int order = strcmp(member(one, sorted_by->member),
			member(other, sorted_by->member));

		if (order)
			return order;
	}
	return strcmp(
		key_of(sorted->view, one, p), key_of(sorted->view, other, q));
}

void sample_sort(struct sample *s, const struct sample_column *by)
{
	sorted = s;
	sorted_by = by;
	if (s->n > 1)
		qsort(s->rows, s->n, sizeof(*s->rows), compare);
}
