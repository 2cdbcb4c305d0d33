/*
 * detail.h: what the log says of a refusal besides its reason. It is for the
 * operator alone: no client is told.
 */
#ifndef BASE_DETAIL_H
#define BASE_DETAIL_H

#include "base/str.h"

#define DETAIL_MAX 256

struct detail {
	const char *text; /* words that live forever, or room; NULL = nothing */
	char room[DETAIL_MAX];
};

/*
 * The words, and behind them the value that was seen, its beginning at least;
 * what looks like a token in it is "(token)".
 */
void detail_print(char room[DETAIL_MAX], const char *words, struct str value);
void detail_set(struct detail *d, const char *words, struct str value);

#endif
