#include "conf/diff.h"

#include <stdint.h>
#include <string.h>

#include "conf/build.h"
#include "conf/dump.h"

const char *diff_kind_word(enum diff_kind k)
{
	static const char *const words[] = {
		[DIFF_ADDED] = "added",
		[DIFF_REMOVED] = "removed",
		[DIFF_CHANGED] = "changed",
		[DIFF_ORDER] = "order",
	};

	return words[k];
}

/* build_object serves the builder, too, which writes. */
static struct conf *unconst(const struct conf *c)
{
	return (struct conf *)(uintptr_t)c;
}

static const char *name_of(
	const struct conf *c, enum keys_section s, size_t index)
{
	return build_section(unconst(c), s, index)->name;
}

/* Where the section is in c, SIZE_MAX: it is not. */
static size_t place_of(
	const struct conf *c, enum keys_section s, const char *name)
{
	size_t n = build_count(c, s);

	for (size_t i = 0; i < n; i++)
		if (strcmp(name_of(c, s, i), name) == 0)
			return i;
	return SIZE_MAX;
}

int diff_key(const struct key_row *row, const void *a, const void *b)
{
	struct buf x = { 0 }, y = { 0 };
	int result = -1;

	if (dump_value(&x, row, a) == 0 && dump_value(&y, row, b) == 0)
		result = !str_eq(buf_str(&x), buf_str(&y));
	buf_free(&x);
	buf_free(&y);
	return result;
}

/* Collects the keys that differ in c->keys, which is in out. */
static int compare(const struct conf *a, const struct conf *b,
	struct diff_change *c, struct buf *out)
{
	const void *x = build_object(unconst(a), c->section, c->before);
	const void *y = build_object(unconst(b), c->section, c->after);
	size_t n;
	const struct key_row *row = keys_rows(c->section, &n);

	for (; n > 0; n--, row++) {
		int differs = diff_key(row, x, y);

		/* Which files the sections are read from is no setting. */
		if (strcmp(row->name, "include") == 0)
			continue;
		if (differs < 0 || (differs && buf_add_printf(out, "%s%s",
						       out->n > 0 ? " " : "",
						       row->name) < 0))
			return -1;
		if (differs && (row->flags & KEY_START))
			c->at_start = true;
	}
	if (buf_add(out, "", 1, SIZE_MAX) < 0)
		return -1;
	c->keys = (const char *)out->p;
	return 0;
}

static int tell_one(const struct conf *a, const struct conf *b,
	struct diff_change *c, diff_fn *change, void *arg)
{
	struct buf keys = { 0 };
	int result = 0;

	if (c->after == SIZE_MAX) {
		c->kind = DIFF_REMOVED;
		change(arg, c);
		return 0;
	}
	c->kind = DIFF_CHANGED;
	result = compare(a, b, c, &keys);
	if (result == 0 && c->keys[0])
		change(arg, c);
	buf_free(&keys);
	return result;
}

/* The first match wins: their order means something. */
static void tell_order(const struct conf *a, const struct conf *b,
	enum keys_section s, diff_fn *change, void *arg)
{
	size_t last = 0;

	for (size_t i = 0; i < build_count(a, s); i++) {
		size_t at = place_of(b, s, name_of(a, s, i));

		if (at == SIZE_MAX)
			continue;
		if (at < last) {
			change(arg, &(struct diff_change){ .kind = DIFF_ORDER,
					    .section = s,
					    .name = "",
					    .before = SIZE_MAX,
					    .after = SIZE_MAX });
			return;
		}
		last = at;
	}
}

static int each_of(const struct conf *a, const struct conf *b,
	enum keys_section s, diff_fn *change, void *arg)
{
	for (size_t i = 0; i < build_count(a, s); i++) {
		const char *name = name_of(a, s, i);
		struct diff_change c = { .section = s,
			.name = name,
			.before = i,
			.after = place_of(b, s, name) };

		if (tell_one(a, b, &c, change, arg) < 0)
			return -1;
	}
	for (size_t i = 0; i < build_count(b, s); i++) {
		const char *name = name_of(b, s, i);

		if (place_of(a, s, name) == SIZE_MAX)
			change(arg, &(struct diff_change){ .kind = DIFF_ADDED,
					    .section = s,
					    .name = name,
					    .before = SIZE_MAX,
					    .after = i });
	}
	if (s == SECTION_ROUTE || s == SECTION_PAGE)
		tell_order(a, b, s, change, arg);
	return 0;
}

int diff_each(
	const struct conf *a, const struct conf *b, diff_fn *change, void *arg)
{
	for (int s = 0; s < SECTION_COUNT; s++)
		if (each_of(a, b, (enum keys_section)s, change, arg) < 0)
			return -1;
	return 0;
}
