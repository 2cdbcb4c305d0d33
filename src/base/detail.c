#include "base/detail.h"

#include <stdio.h>
#include <string.h>

#include "base/redact.h"

void detail_print(char room[DETAIL_MAX], const char *words, struct str value)
{
	char shown[DETAIL_MAX];
	int n;

	/* In front of the cut, behind which a token looks like none. */
	value = redact_tokens(value, shown, sizeof(shown));
	n = snprintf(room, DETAIL_MAX, "%s%.*s", words,
		(int)(value.n < DETAIL_MAX ? value.n : DETAIL_MAX),
		value.p ? value.p : "");
	if (n >= DETAIL_MAX)
		memcpy(room + DETAIL_MAX - 4, "...", 4);
}

void detail_set(struct detail *d, const char *words, struct str value)
{
	detail_print(d->room, words, value);
	d->text = d->room;
}
