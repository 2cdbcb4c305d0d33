/*
 * ws.h: WebSocket frames (RFC 6455 section 5), both roles, pure.
 *
 *   bytes as read -> ws_decode: unmask in place, validate -> events
 *   message piece -> ws_encode_head: the bytes in front of the payload
 *
 * The decoder copies nothing but what a read left unfinished of a frame
 * head or a control frame: an event's payload is where it was read.
 */
#ifndef CODEC_WS_H
#define CODEC_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"
#include "codec/utf8.h"

enum ws_opcode { /* RFC 6455 section 11.8 */
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xA,
};

enum ws_code { /* RFC 6455 section 7.4 and IANA's registry */
	WS_CODE_NORMAL = 1000,
	WS_CODE_GOING_AWAY = 1001,
	WS_CODE_PROTOCOL_ERROR = 1002,
	WS_CODE_UNSUPPORTED_DATA = 1003,
	WS_CODE_NONE = 1005,     /* never sent: the close frame was empty */
	WS_CODE_ABNORMAL = 1006, /* never sent: there was no close frame */
	WS_CODE_INVALID_DATA = 1007,
	WS_CODE_POLICY = 1008,
	WS_CODE_TOO_BIG = 1009,
	WS_CODE_INTERNAL_ERROR = 1011,
	WS_CODE_TRY_AGAIN_LATER = 1013,
	WS_CODE_UNAUTHORIZED = 3000,
	WS_CODE_FORBIDDEN = 3003,
};

#define WS_HEAD_MAX         14  /* bytes in front of a payload, mask included */
#define WS_CONTROL_MAX      125 /* payload of a control frame, section 5.5 */
#define WS_CLOSE_REASON_MAX 123 /* and of it, the reason of a close */

struct ws_decoder {
	uint64_t max_message; /* bytes of payload, over all its fragments */
	bool masked;   /* what we read must be masked: the server's role */
	bool any_text; /* whether it is UTF-8 is checked elsewhere */

	/* The state below is the decoder's own. */
	uint8_t message_opcode; /* of the message under way, 0 = none */
	bool message_begun;     /* a piece of it was already given out */
	struct utf8 utf8;
	uint64_t message_length;   /* of its frames so far, this one included */
	uint64_t left;             /* payload of the frame under way */
	uint8_t state;             /* enum ws_state: in a head, data, control */
	uint8_t frame;             /* first byte of the frame under way */
	uint8_t room;              /* see ws_event, for the next piece */
	uint8_t mask[4];           /* turned so that mask[0] is next */
	uint8_t kept;              /* bytes in keep or control */
	uint8_t keep[WS_HEAD_MAX]; /* part of a head */
	uint8_t *control; /* part of a control payload; NULL: none, as nearly
			     always */
};

enum ws_event_type {
	WS_EVENT_NONE,    /* everything is consumed, more is needed */
	WS_EVENT_DATA,    /* a piece of a text or binary message */
	WS_EVENT_CONTROL, /* a whole ping, pong or close */
	WS_EVENT_EMPTY,   /* a fragment of none, which is work all the same */
	WS_EVENT_BAD,     /* a violation; only ws_skip_to_close may follow */
};

struct ws_event {
	enum ws_event_type type;
	uint8_t opcode; /* DATA: WS_TEXT or WS_BINARY; CONTROL: the opcode */
	bool first,
		last;  /* DATA: whether the message begins and ends with it */
	uint8_t room;  /* DATA: bytes right before data that were its frame's
			     head and may be overwritten */
	uint8_t *data; /* unmasked, in the input (or, for a control frame that
			     came in parts, in the decoder until the next call);
			     of a close: the reason, valid UTF-8 */
	size_t n;
	uint16_t code;   /* close: the code, WS_CODE_NONE when the frame was
			     empty; BAD: 1002, 1007, 1009, or 1011 without
			     memory */
	const char *why; /* BAD: what is wrong, for logs and the close frame */
	uint64_t length; /* BAD with 1009: of the message, as far as its heads
			    tell; last: it ends there */
};

void ws_decoder_init(struct ws_decoder *d, bool masked, uint64_t max_message);
/* Gives back what a control frame that came in parts may have taken. */
void ws_decoder_free(struct ws_decoder *d);
/*
 * Takes the next event off the *n bytes at *p and moves both past what it
 * used. The bytes are unmasked where they lie. Call until WS_EVENT_NONE.
 *
 * Only pieces of at least one byte are given out, but for a message or a
 * last fragment of none; any other of none is WS_EVENT_EMPTY. A frame that is
 * whole in the input is one piece. Text is checked piece by piece and fails
 * early: how much of a message was given out before its violation depends on
 * the reads.
 */
void ws_decode(
	struct ws_decoder *d, uint8_t **p, size_t *n, struct ws_event *event);
/*
 * For a peer that was told to close: skips its frames by their lengths,
 * whatever they say and whatever is wrong with them, and returns true when the
 * whole of its close frame is among them. Nothing is waited for then (section
 * 7.1.1). The decoder is a new one, or has given out WS_EVENT_BAD and the n
 * bytes at p are what it left of its input; it decodes nothing any more.
 */
MUST_CHECK bool ws_skip_to_close(struct ws_decoder *d, uint8_t *p, size_t n);
/* Whether the decoder is between two messages and holds no bytes. */
bool ws_decoder_idle(const struct ws_decoder *d);

/*
 * Writes the head of a frame with n bytes of payload; mask is NULL for a
 * server's frame. Returns its length, 2 to WS_HEAD_MAX.
 */
size_t ws_encode_head(uint8_t out[WS_HEAD_MAX], uint8_t opcode, bool fin,
	uint64_t n, const uint8_t mask[4]);
/* Masks or unmasks n bytes in place (section 5.3). */
void ws_mask(uint8_t *p, size_t n, const uint8_t mask[4]);
/*
 * Writes the payload of a close frame; WS_CODE_NONE gives none. The reason is
 * cut to WS_CLOSE_REASON_MAX bytes, between characters. Returns its length.
 */
size_t ws_encode_close(
	uint8_t out[WS_CONTROL_MAX], uint16_t code, struct str reason);
/* Whether a peer may send this code in a close frame (section 7.4). */
bool ws_code_valid(uint16_t code);

#endif
