/*
 * entry.h: the first hit of an invitation, see gate/invitation.h.
 */
#ifndef PAGE_ENTRY_H
#define PAGE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct page_answer;
struct page_match;
struct page_visitor;
struct request;

/*
 * Whether a browser goes to this address with the token in its query, which the
 * gate has let in: a GET, for a document (Sec-Fetch-Dest), or by a browser that
 * does not say what for and accepts text/html; below the page's path; by a
 * token that is not over and fits into a cookie. Not in a frame: browsers keep
 * no such cookie for those of other sites.
 */
bool page_entry_is(const struct page_match *match,
	const struct request *request, const struct page_visitor *visitor,
	int64_t now_ms);
/*
 * Sends it on to the address without the token, with the cookie; an empty
 * answer is filled in. -1 without memory.
 */
MUST_CHECK int page_entry_answer(struct page_answer *a,
	const struct page_match *match, const struct request *request,
	const struct page_visitor *visitor, int64_t now_ms);

#endif
