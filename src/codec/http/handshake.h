/*
 * handshake.h: the fields of the WebSocket upgrade (RFC 6455 section 4).
 */
#ifndef CODEC_HTTP_HANDSHAKE_H
#define CODEC_HTTP_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

struct http_head;

#define HANDSHAKE_KEY        24 /* characters of Sec-WebSocket-Key */
#define HANDSHAKE_ACCEPT     28 /* and of Sec-WebSocket-Accept */
#define HANDSHAKE_OFFERS_MAX 64 /* subprotocols in one request */

/*
 * Whether the request asks for an upgrade to websocket at all: HTTP/1.1 with
 * Upgrade: websocket and Connection: Upgrade.
 */
bool handshake_is_upgrade(const struct http_head *request);
/*
 * Checks a client's request (section 4.2.1): GET, HTTP/1.1, Upgrade,
 * Connection, one Key of 16 bytes in canonical base64, Version 13, Protocol
 * lists of at most HANDSHAKE_OFFERS_MAX distinct tokens. *key is the
 * Sec-WebSocket-Key. Returns 0, or the status to answer with, and *why:
 *   400 a field is missing, repeated or malformed
 *   405 not GET
 *   426 another version than 13 (section 4.4)
 */
MUST_CHECK int handshake_check_request(
	const struct http_head *request, struct str *key, const char **why);
/* Section 4.2.2 point 5.4: SHA-1 of the key and the GUID, in base64. */
void handshake_accept(char out[HANDSHAKE_ACCEPT], struct str key);
/* A Sec-WebSocket-Key of 16 random bytes. */
void handshake_make_key(char out[HANDSHAKE_KEY], const uint8_t random[16]);
/*
 * Checks a server's 101 (section 4.1): Upgrade, Connection, Accept for this
 * key, at most one Protocol, no Extensions (none was offered). 0, or -1 and
 * *why. *protocol is what it selected, STR_NONE when nothing.
 */
MUST_CHECK int handshake_check_response(const struct http_head *response,
	struct str key, struct str *protocol, const char **why);
/*
 * Takes the next subprotocol that the client offers, over all its
 * Sec-WebSocket-Protocol lines. False at the end.
 */
struct handshake_offers {
	const struct http_head *head;
	struct str rest;
	size_t field;
};
void handshake_offers_init(
	struct handshake_offers *o, const struct http_head *head);
bool handshake_offers_next(struct handshake_offers *o, struct str *protocol);

#endif
