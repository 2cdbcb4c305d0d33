#include "relay/detail.h"

#include <stdio.h>
#include <string.h>

void detail_set(struct detail *d, const char *words, struct str value)
{
	int n = snprintf(d->room, sizeof(d->room), "%s%.*s", words,
		(int)(value.n < DETAIL_MAX ? value.n : DETAIL_MAX),
		value.p ? value.p : "");

	if (n >= DETAIL_MAX)
		memcpy(d->room + DETAIL_MAX - 4, "...", 4);
	d->text = d->room;
}
