#include "end/ending.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "codec/ws.h"
#include "end/end.h"

struct str ending_close_text(enum reason r, char *text, struct str words)
{
	const struct reason_info *info = reason_get(r);
	struct buf b = { 0 };
	struct str s = STR_NONE;

	if (words.p || r == REASON_CLIENT_CLOSE || r == REASON_BACKEND_CLOSE)
		return words; /* the peer's own, or none */
	if (buf_add_printf(&b, "%s: %s", info->word, info->text) == 0) {
		s = (struct str){ text,
			utf8_prefix(b.p, b.n, WS_CLOSE_REASON_MAX) };
		memcpy(text, b.p, s.n);
	}
	buf_free(&b);
	return s;
}

uint16_t ending_client_code(enum reason r, uint16_t code)
{
	if (r == REASON_CLIENT_GONE || r == REASON_CLIENT_RESET)
		return 0;
	if (r == REASON_CLIENT_CLOSE || r == REASON_BACKEND_CLOSE)
		return code; /* an empty close frame stays empty */
	return code ? code : WS_CODE_GOING_AWAY;
}

/* A backend is not told the client's faults: to it the client goes away. */
uint16_t ending_backend_code(const struct ending *why)
{
	switch (why->reason) {
	case REASON_CLIENT_CLOSE:
	case REASON_BACKEND_CLOSE:
		return why->code ? why->code : reason_get(why->reason)->code;
	case REASON_BACKEND_PROTOCOL:
		return why->backend_code ? why->backend_code
					 : WS_CODE_PROTOCOL_ERROR;
	default:
		return WS_CODE_GOING_AWAY;
	}
}

const char *ending_length_text(char text[ENDING_LENGTH_TEXT], uint64_t n,
	bool at_least, const char *key, uint64_t max)
{
	snprintf(text, ENDING_LENGTH_TEXT,
		"a message of %" PRIu64 " bytes%s, %s is %" PRIu64, n,
		at_least ? " or more" : "", key, max);
	return text;
}

const char *ending_side(enum reason r, int side)
{
	/* Reasons for which the relay ends it of its own accord. */
	static const enum reason own[] = { REASON_SHUTDOWN, REASON_SESSION_END,
		REASON_TOKEN_END, REASON_PAUSED, REASON_MEMORY, REASON_INTERNAL,
		REASON_SLOW, REASON_ATTACH_REPLACED };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (r == own[i])
			return "relay";
	return side == END_CLIENT ? "client" : "backend";
}
