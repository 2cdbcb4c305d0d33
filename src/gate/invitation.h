/*
 * invitation.h: how a link that people are given opens a page with auth = token,
 * and everything that belongs to it.
 *
 *   link      GET /desk/?token=T          (wsrelayctl invite)
 *   relay     303 ./                      the same address without the token
 *             Set-Cookie: NAME=T; Max-Age; HttpOnly; SameSite=Lax[; Secure]
 *   browser   GET /desk/, style.css, wsuri.json, each with Cookie: NAME=T
 *   relay     the files; in their templates fresh wsuris as T allows
 *
 * - The cookie is the token itself: it is verified with each request as it
 *   would be in a query, so it opens what T opens and no more, by T's keys, and
 *   not after T's exp. Max-Age is what is left until then.
 * - A token without a sub is for many. So that each of them is one subject,
 *   over reloads and reconnects, the cookie is T signed again with a sub by
 *   chance; where the page has a token_subject, or no key of its own that signs
 *   invitations to it, it is T. The jti stays, so that the link can be revoked.
 * - NAME has the page's in it: the cookie of one page is not looked at by
 *   another. Over TLS it begins with __Secure-, which no page without TLS can
 *   set, and only such a one is looked at there.
 * - There is no Path in it: a browser then binds it to the folder of the
 *   address that it sees (RFC 6265 section 5.1.4), whatever a proxy has taken
 *   off that. So it is set only for an address below the page's path.
 * - SameSite=Lax: browsers show it when a link of another site is followed, not
 *   when another site's page asks for a file. Templates with wsuris are refused
 *   to other sites besides (page/page.h).
 * - A token in the query or in Authorization wins over it: so a fresh link
 *   replaces an old one. Of several of the name the first counts, which is the
 *   one with the longest path (RFC 6265 section 5.4).
 * - It is for pages: routes do not look at it, and no backend gets it. The
 *   WebSocket has a token of its own, minted into the page.
 * - Only a browser that goes to the address is sent on (page/entry.h): a
 *   program that asks with a token gets the file at once.
 *
 * What cookies cannot do: they know no ports, so another server on the same
 * host and path sees them; a host of the same domain may set one of the same
 * name, which then is in the way, or lets the visitor in as somebody else.
 */
#ifndef GATE_INVITATION_H
#define GATE_INVITATION_H

#include <stdbool.h>
#include <stddef.h>

#define INVITATION_NAME_MAX 96 /* with a section's name of 40 bytes */

struct conf_page;

/* The NAME above; returns it. secure: the page was asked for over TLS. */
const char *invitation_cookie(char name[INVITATION_NAME_MAX],
	const struct conf_page *page, bool secure);
/*
 * Takes the cookies of all pages out of a Cookie field, in its place; returns
 * what is left of its length.
 */
size_t invitation_cookies_strip(char *field, size_t n);

#endif
