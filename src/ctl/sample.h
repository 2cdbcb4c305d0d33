/*
 * sample.h: the rows of an answer at one time, and what they have done since the
 * sample before: for top.
 */
#ifndef CTL_SAMPLE_H
#define CTL_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct call;
struct json_t;

#define SAMPLE_COLUMNS 11
/* Of clients: those behind them are not looked at. */
#define SAMPLE_ROWS 200000

struct sample_column {
	const char *heading; /* NULL: behind the last */
	char key;            /* sorts by it; 0: none does */
	/*
	 * A member of the row (ctl/cell.h); "+member": by how much it grew in a
	 * second.
	 */
	const char *member;
};

struct sample_view {
	char key;
	const char *command; /* of the control socket, and its title */
	const char *id[2];   /* members that tell rows apart; NULL: one does */
	struct sample_column columns[SAMPLE_COLUMNS + 1];
};

struct sample {
	const struct sample_view *view;
	struct json_t **rows;
	size_t n, capacity;
	int64_t at_ms;         /* monotonic */
	struct json_t *by_id;  /* the same rows, borrowed by none */
	struct sample *before; /* owned; NULL: none; has none itself */
};

/*
 * Asks for the rows of the view. Takes before, which may be of another view, and
 * is forgotten then. -1: it complained.
 */
MUST_CHECK int sample_take(struct sample *s, struct call *c,
	const struct sample_view *view, struct sample *before);
/* Frees what it has. */
void sample_free(struct sample *s);

/* What a column says of a row: a number, or, where that is NAN, only text. */
double sample_value(const struct sample *s, const struct sample_column *c,
	const struct json_t *row);
const char *sample_text(const struct sample *s, const struct sample_column *c,
	const struct json_t *row, char *out);
/* The greatest first; texts in their order. */
void sample_sort(struct sample *s, const struct sample_column *by);

#endif
