#include "base/log_kind.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *kind, *event, *group;
} kinds[] = {
#define KIND(kind, event, group) { kind, event, group },
#include "base/log_kind.def"
#undef KIND
};

_Static_assert(ARRAY_SIZE(kinds) <= 64, "each kind has a bit");

log_kinds log_kind_find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kind, kinds[i].kind) == 0)
			return (log_kinds)1 << i;
	return 0;
}

static log_kinds named_by(struct str word)
{
	log_kinds named = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_eq(word, STR("all")) ||
			str_eq(word, str_of(kinds[i].kind)) ||
			str_eq(word, str_of(kinds[i].event)) ||
			str_eq(word, str_of(kinds[i].group)))
			named |= (log_kinds)1 << i;
	return named;
}

int log_kind_choose(log_kinds *hidden, struct str word, bool first)
{
	bool hides = str_starts(word, STR("-"));
	struct str name = { word.p + hides, word.n - hides };
	log_kinds named = named_by(name);

	if (!named)
		return -1;
	if (hides)
		*hidden |= named;
	else
		*hidden = (first ? named_by(STR("all")) : *hidden) & ~named;
	return 0;
}
