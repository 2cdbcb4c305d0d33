#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "codec/ws.h"
#include "relay/end.h"
#include "relay/hub.h"
#include "relay/member.h"
#include "relay/pair.h"

void relay_input(struct end *from, const struct piece *piece)
{
	switch ((enum end_owner)from->owner) {
	case END_OF_NOBODY:
		return;
	case END_OF_PAIR:
		pair_input(from, piece);
		return;
	case END_OF_MEMBER:
		member_input(from->member, piece);
		return;
	case END_OF_TRUNK:
		hub_trunk_input(from->hub, piece);
		return;
	}
}

void relay_control(struct end *from, size_t n)
{
	if (from->side == END_BACKEND)
		return;
	if (from->owner == END_OF_PAIR)
		pair_control(from, n);
	else if (from->owner == END_OF_MEMBER)
		member_control(from->member, n);
}

void relay_too_big(struct end *from)
{
	if (from->owner == END_OF_TRUNK)
		hub_trunk_too_big(from->hub);
}

void relay_drained(struct end *e)
{
	switch ((enum end_owner)e->owner) {
	case END_OF_NOBODY:
		return;
	case END_OF_PAIR:
		pair_drained(e);
		return;
	case END_OF_MEMBER:
		member_drained(e->member);
		return;
	case END_OF_TRUNK:
		hub_trunk_drained(e->hub);
		return;
	}
}

void relay_ended(struct end *e, const struct ending *why)
{
	switch ((enum end_owner)e->owner) {
	case END_OF_NOBODY:
		return;
	case END_OF_PAIR:
		pair_ended(e->pair, (enum end_side)e->side, why);
		return;
	case END_OF_MEMBER:
		member_ended(e->member, END_CLIENT, why);
		return;
	case END_OF_TRUNK:
		hub_trunk_ended(e->hub, why);
		return;
	}
}

void relay_dropped(struct end *e, uint64_t n)
{
	switch ((enum end_owner)e->owner) {
	case END_OF_NOBODY:
	case END_OF_TRUNK:
		return;
	case END_OF_PAIR:
		pair_dropped(e, n);
		return;
	case END_OF_MEMBER:
		member_dropped(e->member, n);
		return;
	}
}

void relay_gone(struct end *e)
{
	switch ((enum end_owner)e->owner) {
	case END_OF_NOBODY:
		return;
	case END_OF_PAIR:
		pair_gone(e);
		return;
	case END_OF_MEMBER:
		member_gone(e->member);
		return;
	case END_OF_TRUNK:
		hub_trunk_gone(e->hub);
		return;
	}
}

struct str relay_close_text(enum reason r, char *text, struct str words)
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

uint16_t relay_client_code(enum reason r, uint16_t code)
{
	if (r == REASON_CLIENT_GONE || r == REASON_CLIENT_RESET)
		return 0;
	if (r == REASON_CLIENT_CLOSE || r == REASON_BACKEND_CLOSE)
		return code; /* an empty close frame stays empty */
	return code ? code : WS_CODE_GOING_AWAY;
}

/* A backend is not told the client's faults: to it the client goes away. */
uint16_t relay_backend_code(const struct ending *why)
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

const char *relay_length_text(char text[RELAY_LENGTH_TEXT], uint64_t n,
	bool at_least, const char *key, uint64_t max)
{
	snprintf(text, RELAY_LENGTH_TEXT,
		"a message of %" PRIu64 " bytes%s, %s is %" PRIu64, n,
		at_least ? " or more" : "", key, max);
	return text;
}

const char *relay_side(enum reason r, int side)
{
	/* Reasons for which the relay ends it of its own accord. */
	static const enum reason own[] = { REASON_SHUTDOWN, REASON_SESSION_END,
		REASON_TOKEN_END, REASON_MEMORY, REASON_INTERNAL, REASON_SLOW };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (r == own[i])
			return "relay";
	return side == END_CLIENT ? "client" : "backend";
}
