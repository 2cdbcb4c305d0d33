#include "codec/http/handshake.h"

#include <assert.h>
#include <string.h>

#include "base/base64.h"
#include "base/mbedtls.h"
#include "codec/http/http.h"

#define GUID      "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define SHA1_SIZE 20

/* The names are written once, so that no two places spell them apart. */
#define CONNECTION       STR("Connection")
#define UPGRADE          STR("Upgrade")
#define WEBSOCKET        STR("websocket")
#define VERSION_FIELD    STR("Sec-WebSocket-Version")
#define KEY_FIELD        STR("Sec-WebSocket-Key")
#define ACCEPT_FIELD     STR("Sec-WebSocket-Accept")
#define PROTOCOL_FIELD   STR("Sec-WebSocket-Protocol")
#define EXTENSIONS_FIELD STR("Sec-WebSocket-Extensions")

/*
 * Upgrade means nothing in HTTP/1.0, and nothing without the Connection
 * option that goes with it (RFC 9110 section 7.8).
 */
bool handshake_is_upgrade(const struct http_head *request)
{
	return request->minor == 1 &&
	       http_has_element(request, CONNECTION, STR("upgrade")) &&
	       http_has_element(request, UPGRADE, WEBSOCKET);
}

/* The value of a field that occurs exactly once; else STR_NONE. */
static struct str single_field(const struct http_head *h, struct str name)
{
	if (http_field_count(h, name) != 1)
		return STR_NONE;
	return http_field(h, name);
}

/*
 * Section 4.1 point 7. One value has one spelling: our base64 refuses bits
 * behind the last byte.
 */
static bool is_key(struct str s)
{
	uint8_t bytes[HANDSHAKE_KEY / 4 * 3 + 2];

	return s.n == HANDSHAKE_KEY && base64_decode(bytes, s.p, s.n) == 16;
}

/* Whether what o still has to say contains the protocol once more. */
static bool offers_again(struct handshake_offers o, struct str protocol)
{
	struct str other;

	while (handshake_offers_next(&o, &other))
		if (str_eq(protocol, other))
			return true;
	return false;
}

/*
 * Section 4.1 point 10: tokens, each only once. The bound keeps the search
 * for repetitions, which is quadratic, from being a way to burn our time.
 */
static const char *check_offers(const struct http_head *request)
{
	struct handshake_offers o;
	struct str protocol;
	size_t n = 0;

	handshake_offers_init(&o, request);
	while (handshake_offers_next(&o, &protocol)) {
		if (++n > HANDSHAKE_OFFERS_MAX)
			return "too many subprotocols";
		if (!http_is_token(protocol))
			return "a subprotocol is not a token";
	}
	if (n == 0 && http_field_count(request, PROTOCOL_FIELD) > 0)
		return "an empty Sec-WebSocket-Protocol";
	handshake_offers_init(&o, request);
	while (handshake_offers_next(&o, &protocol))
		if (offers_again(o, protocol))
			return "a subprotocol is offered twice";
	return NULL;
}

int handshake_check_request(
	const struct http_head *request, struct str *key, const char **why)
{
	struct str version = single_field(request, VERSION_FIELD);

	*key = STR_NONE;
	*why = NULL;
	if (!str_eq(request->method, STR("GET"))) {
		*why = "a WebSocket is opened with GET";
		return 405;
	}
	if (!http_has_element(request, UPGRADE, WEBSOCKET)) {
		*why = "no Upgrade: websocket";
		return 400;
	}
	if (!handshake_is_upgrade(request)) {
		*why = request->minor == 0 ? "an upgrade needs HTTP/1.1"
					   : "no Connection: Upgrade";
		return 400;
	}
	if (!version.p) {
		*why = "not one Sec-WebSocket-Version";
		return 400;
	}
	/* Section 4.4: the answer to this status names the version we speak. */
	if (!str_eq(version, STR("13"))) {
		*why = "Sec-WebSocket-Version is not 13";
		return 426;
	}
	*key = single_field(request, KEY_FIELD);
	if (!is_key(*key)) {
		*key = STR_NONE;
		*why = "not one Sec-WebSocket-Key of 16 bytes in base64";
		return 400;
	}
	*why = check_offers(request);
	return *why ? 400 : 0;
}

static void sha1(const uint8_t *p, size_t n, uint8_t out[SHA1_SIZE])
{
	int result = mbed_sha1(p, n, out);

	assert(result == 0); /* mbed_sha1: software never fails */
	(void)result;
}

void handshake_accept(char out[HANDSHAKE_ACCEPT], struct str key)
{
	uint8_t text[HANDSHAKE_KEY + sizeof(GUID) - 1];
	uint8_t digest[SHA1_SIZE];

	assert(key.n == HANDSHAKE_KEY);
	memcpy(text, key.p, HANDSHAKE_KEY);
	memcpy(text + HANDSHAKE_KEY, GUID, sizeof(GUID) - 1);
	sha1(text, sizeof(text), digest);
	base64_encode(out, digest, sizeof(digest));
}

void handshake_make_key(char out[HANDSHAKE_KEY], const uint8_t random[16])
{
	base64_encode(out, random, 16);
}

int handshake_check_response(const struct http_head *response, struct str key,
	struct str *protocol, const char **why)
{
	char accept[HANDSHAKE_ACCEPT];
	size_t protocols = http_field_count(response, PROTOCOL_FIELD);

	*protocol = STR_NONE;
	*why = NULL;
	handshake_accept(accept, key);
	if (response->status != 101 || response->minor != 1)
		*why = "the answer is not HTTP/1.1 101";
	else if (!str_eq_nocase(single_field(response, UPGRADE), WEBSOCKET))
		*why = "no Upgrade: websocket in the answer";
	else if (!http_has_element(response, CONNECTION, STR("upgrade")))
		*why = "no Connection: Upgrade in the answer";
	else if (!str_eq(single_field(response, ACCEPT_FIELD),
			 (struct str){ accept, sizeof(accept) }))
		*why = "Sec-WebSocket-Accept does not fit the key";
	else if (http_field_count(response, EXTENSIONS_FIELD) > 0)
		*why = "an extension that was not offered";
	else if (protocols > 1)
		*why = "more than one subprotocol in the answer";
	else if (protocols == 1 &&
		 !http_is_token(http_field(response, PROTOCOL_FIELD)))
		*why = "the subprotocol in the answer is not a token";
	if (*why)
		return -1;
	*protocol = http_field(response, PROTOCOL_FIELD);
	return 0;
}

void handshake_offers_init(
	struct handshake_offers *o, const struct http_head *head)
{
	o->head = head;
	o->rest = STR_NONE;
	o->field = 0;
}

bool handshake_offers_next(struct handshake_offers *o, struct str *protocol)
{
	while (!str_next_element(&o->rest, protocol)) {
		const struct http_field *field;

		if (o->field == o->head->n)
			return false;
		field = &o->head->fields[o->field++];
		if (str_eq_nocase(field->name, PROTOCOL_FIELD))
			o->rest = field->value;
	}
	return true;
}
