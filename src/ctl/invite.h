/*
 * invite.h: wsrelayctl invite: a link that people open, for a page with
 * auth = token; what the relay makes of it says gate/invitation.h.
 *
 *   PATH -> the page that has it -> its key: a token for what is below PATH
 *                                -> where it is reached: scheme and host
 *        -> LINK on standard output, in words on standard error, as a QR code
 */
#ifndef CTL_INVITE_H
#define CTL_INVITE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

struct conf;
struct conf_page;

/*
 * address.c: appends what is in front of the page's path, such as
 * "https://relay.example.org": url, else its public_url, else the first address
 * of its listeners that has a port, over TLS where the listener has a
 * certificate, with the first name of its hosts in place of the number. -1, and
 * it is said what to write; also of an address that only this machine has.
 */
MUST_CHECK int invite_address(struct buf *out, const struct conf *conf,
	const struct conf_page *page, const char *url);
/*
 * qr.c: the link as a QR code: to standard output as characters, or as SVG into
 * a new file, which the user alone may read, as it is a password. By the
 * program qrencode, which gets the link on its standard input, where no other
 * user sees it. -1, and it is said.
 */
MUST_CHECK int invite_qr(struct str link, const char *file);

#endif
