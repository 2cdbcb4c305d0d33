/*
 * ws.c: one function per state of the decoder.
 *
 *   bytes -> HEAD: head_take -> head_check (2 bytes), head_finish (all)
 *              |
 *              +-- data opcode ----> DATA: data_take -> WS_EVENT_DATA
 *              |                     one piece per call, until left is 0
 *              +-- control opcode -> CONTROL: control_take, once it is whole
 *              |                              -> WS_EVENT_CONTROL
 *              +-- violation ------> DEAD     -> WS_EVENT_BAD
 *
 * What is wrong is found at the same byte wherever the reads were cut: the
 * first two bytes of a head are judged as soon as they are there, the rest
 * when it is whole.
 */
#include "codec/ws.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum ws_state { STATE_HEAD, STATE_DATA, STATE_CONTROL, STATE_DEAD };

#define BIT_FIN     0x80
#define BITS_RSV    0x70
#define BITS_OPCODE 0x0f
#define BIT_CONTROL 0x08 /* of the opcode, RFC 6455 section 5.5 */
#define BIT_MASK    0x80
#define BITS_LENGTH 0x7f
#define LENGTH_16   126
#define LENGTH_64   127

static uint64_t load64(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static void xor64(uint8_t *p, uint64_t with)
{
	uint64_t word = load64(p) ^ with;

	memcpy(p, &word, sizeof(word));
}

void ws_mask(uint8_t *p, size_t n, const uint8_t mask[4])
{
	uint8_t twice[8];
	uint64_t word;
	size_t i;

	memcpy(twice, mask, 4);
	memcpy(twice + 4, mask, 4);
	word = load64(twice);
	/* Four independent words: the compiler makes vectors of them. */
	for (; n >= 32; p += 32, n -= 32) {
		xor64(p, word);
		xor64(p + 8, word);
		xor64(p + 16, word);
		xor64(p + 24, word);
	}
	for (; n >= 8; p += 8, n -= 8)
		xor64(p, word);
	for (i = 0; i < n; i++)
		p[i] ^= twice[i];
}

void ws_decoder_init(struct ws_decoder *d, bool masked, uint64_t max_message)
{
	*d = (struct ws_decoder){ .masked = masked,
		.max_message = max_message,
		.state = STATE_HEAD };
}

void ws_decoder_free(struct ws_decoder *d)
{
	free(d->control);
	d->control = NULL;
}

bool ws_decoder_idle(const struct ws_decoder *d)
{
	return d->state == STATE_HEAD && d->kept == 0 && d->message_opcode == 0;
}

/* Each step returns whether ws_decode is done: an event, or out of bytes. */
static bool decoder_fail(struct ws_decoder *d, struct ws_event *event,
	uint16_t code, const char *why)
{
	d->state = STATE_DEAD;
	*event = (struct ws_event){
		.type = WS_EVENT_BAD, .code = code, .why = why
	};
	return true;
}

static void skip_bytes(uint8_t **p, size_t *n, size_t used)
{
	*p += used;
	*n -= used;
}

/* Fills room up to want bytes. Whether it now holds as many. */
static bool keep_bytes(struct ws_decoder *d, uint8_t *room, uint8_t **p,
	size_t *n, size_t want)
{
	size_t missing = want > d->kept ? want - d->kept : 0;
	size_t take = missing < *n ? missing : *n;

	if (take > 0)
		memcpy(room + d->kept, *p, take);
	d->kept = (uint8_t)(d->kept + take);
	skip_bytes(p, n, take);
	return take == missing;
}

/* --- heads ----------------------------------------------------------------*/

/* The length of a head, from its first two bytes. */
static size_t head_length(const uint8_t *head)
{
	uint8_t length = head[1] & BITS_LENGTH;
	size_t extended = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;

	return 2 + extended + (head[1] & BIT_MASK ? 4 : 0);
}

/* What is wrong with the first two bytes of a head; NULL: nothing. */
static const char *head_check(const struct ws_decoder *d, const uint8_t *head)
{
	static const bool known[16] = { [WS_CONTINUATION] = true,
		[WS_TEXT] = true,
		[WS_BINARY] = true,
		[WS_CLOSE] = true,
		[WS_PING] = true,
		[WS_PONG] = true };
	uint8_t opcode = head[0] & BITS_OPCODE;

	if (head[0] & BITS_RSV) /* no extension was agreed on, section 5.2 */
		return "a reserved bit is set";
	if (!known[opcode])
		return "a reserved opcode";
	if (((head[1] & BIT_MASK) != 0) != d->masked) /* section 5.1 */
		return d->masked ? "a frame without a mask"
				 : "a frame with a mask";
	if (opcode & BIT_CONTROL) {
		if (!(head[0] & BIT_FIN))
			return "a fragmented control frame";
		return (head[1] & BITS_LENGTH) > WS_CONTROL_MAX
			       ? "a control frame over 125 bytes"
			       : NULL;
	}
	/* Section 5.4: messages do not interleave. */
	if (opcode == WS_CONTINUATION && d->message_opcode == 0)
		return "a continuation without a message";
	if (opcode != WS_CONTINUATION && d->message_opcode != 0)
		return "a new message inside of another";
	return NULL;
}

/* Reads the payload's length (section 5.2). What is wrong, or NULL. */
static const char *head_read_length(const uint8_t *head, uint64_t *length)
{
	uint8_t short_length = head[1] & BITS_LENGTH;
	size_t bytes = short_length == LENGTH_64 ? 8 : 2;
	uint64_t value = 0;

	*length = short_length;
	if (short_length < LENGTH_16)
		return NULL;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | head[2 + i];
	*length = value;
	if (value >> 63)
		return "a length with its highest bit set";
	if (value < LENGTH_16 || (bytes == 8 && value <= UINT16_MAX))
		return "a length that is not encoded in its shortest form";
	return NULL;
}

/* Judges a whole head and opens its frame. */
static bool head_finish(
	struct ws_decoder *d, const uint8_t *head, struct ws_event *event)
{
	uint8_t opcode = head[0] & BITS_OPCODE;
	const char *why = head_read_length(head, &d->left);

	d->frame = head[0];
	if (why)
		return decoder_fail(d, event, WS_CODE_PROTOCOL_ERROR, why);
	if (d->masked)
		memcpy(d->mask, head + head_length(head) - 4, 4);
	if (opcode & BIT_CONTROL) {
		d->state = STATE_CONTROL;
		return false;
	}
	if (opcode != WS_CONTINUATION) {
		d->message_opcode = opcode;
		d->message_begun = false;
		d->message_length = 0;
		d->utf8 = (struct utf8){ 0 };
	}
	if (d->message_length > d->max_message ||
		d->left > d->max_message - d->message_length) {
		(void)decoder_fail(
			d, event, WS_CODE_TOO_BIG, "a message too long");
		event->length = d->message_length + d->left;
		event->last = d->frame & BIT_FIN;
		return true;
	}
	d->message_length += d->left;
	d->state = STATE_DATA;
	return false;
}

static bool head_take(
	struct ws_decoder *d, uint8_t **p, size_t *n, struct ws_event *event)
{
	const uint8_t *head = *p;
	bool in_place = d->kept == 0 && *n >= 2 && *n >= head_length(head);
	const char *why;

	d->frame = 0; /* the one before is over: see ws_skip_to_close */
	if (!in_place) {
		if (!keep_bytes(d, d->keep, p, n, 2))
			return true;
		head = d->keep;
	}
	why = head_check(d, head);
	if (why)
		return decoder_fail(d, event, WS_CODE_PROTOCOL_ERROR, why);
	if (in_place)
		skip_bytes(p, n, head_length(head));
	else if (!keep_bytes(d, d->keep, p, n, head_length(head)))
		return true;
	d->kept = 0;
	d->room = in_place ? (uint8_t)head_length(head) : 0;
	return head_finish(d, head, event);
}

/* --- payloads -------------------------------------------------------------*/

/* Unmasks a piece and turns the mask to where the next one begins. */
static void unmask(struct ws_decoder *d, uint8_t *p, size_t n)
{
	uint8_t mask[4];

	if (!d->masked || n == 0)
		return;
	memcpy(mask, d->mask, sizeof(mask));
	ws_mask(p, n, mask);
	for (size_t i = 0; i < 4; i++)
		d->mask[i] = mask[(i + n) & 3];
}

static bool data_take(
	struct ws_decoder *d, uint8_t **p, size_t *n, struct ws_event *event)
{
	size_t take = d->left < *n ? (size_t)d->left : *n;
	uint8_t *data = *p;
	bool frame_ends = take == d->left;
	bool last = frame_ends && (d->frame & BIT_FIN);

	if (take == 0 && !frame_ends)
		return true;
	skip_bytes(p, n, take);
	d->left -= take;
	unmask(d, data, take);
	if (d->message_opcode == WS_TEXT && !d->any_text &&
		(!utf8_add(&d->utf8, data, take) ||
			(last && !utf8_complete(&d->utf8))))
		return decoder_fail(d, event,
			WS_CODE_INVALID_DATA, /* section 8.1 */
			"text that is not UTF-8");
	if (frame_ends)
		d->state = STATE_HEAD;
	if (take == 0 && !last) {
		event->type = WS_EVENT_EMPTY;
		return true;
	}
	event->type = WS_EVENT_DATA;
	event->opcode = d->message_opcode;
	event->first = !d->message_begun;
	event->last = last;
	event->data = data;
	event->n = take;
	event->room = d->room;
	d->room = 0;
	d->message_begun = true;
	if (last)
		d->message_opcode = 0;
	return true;
}

/* Splits a close's payload into code and reason (section 5.5.1). */
static bool close_read(struct ws_decoder *d, struct ws_event *event)
{
	event->code = WS_CODE_NONE;
	if (event->n == 0)
		return true;
	if (event->n == 1)
		return decoder_fail(d, event, WS_CODE_PROTOCOL_ERROR,
			"a close frame of one byte");
	/* The analyser does not see that control_take has read them.
	   NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	event->code = (uint16_t)(event->data[0] << 8 | event->data[1]);
	event->data += 2;
	event->n -= 2;
	if (!ws_code_valid(event->code))
		return decoder_fail(d, event, WS_CODE_PROTOCOL_ERROR,
			"a close code that must not be sent");
	if (!utf8_valid(event->data, event->n))
		return decoder_fail(d, event, WS_CODE_INVALID_DATA,
			"a close reason that is not UTF-8");
	return true;
}

static bool control_take(
	struct ws_decoder *d, uint8_t **p, size_t *n, struct ws_event *event)
{
	size_t length = (size_t)d->left; /* head_check: 125 at most */
	uint8_t *data = *p;

	if (d->kept == 0 && *n >= length) {
		skip_bytes(p, n, length);
	} else {
		/* Rare, so that idle connections need not hold the room. */
		if (!d->control)
			d->control = malloc(WS_CONTROL_MAX);
		if (!d->control)
			return decoder_fail(
				d, event, WS_CODE_INTERNAL_ERROR, "no memory");
		if (!keep_bytes(d, d->control, p, n, length))
			return true;
		data = d->control;
	}
	d->kept = 0;
	d->left = 0;
	d->state = STATE_HEAD;
	unmask(d, data, length);
	event->type = WS_EVENT_CONTROL;
	event->opcode = d->frame & BITS_OPCODE;
	event->data = data;
	event->n = length;
	return event->opcode == WS_CLOSE ? close_read(d, event) : true;
}

void ws_decode(
	struct ws_decoder *d, uint8_t **p, size_t *n, struct ws_event *event)
{
	bool done = false;

	assert(d->state != STATE_DEAD);
	if (d->control && d->state != STATE_CONTROL)
		ws_decoder_free(d); /* the event before pointed there */
	*event = (struct ws_event){ .type = WS_EVENT_NONE };
	while (!done) {
		switch ((enum ws_state)d->state) {
		case STATE_HEAD:
			done = head_take(d, p, n, event);
			break;
		case STATE_DATA:
			done = data_take(d, p, n, event);
			break;
		case STATE_CONTROL:
			done = control_take(d, p, n, event);
			break;
		case STATE_DEAD:
			return;
		}
	}
}

/* --- after the end --------------------------------------------------------*/

/*
 * Each violation leaves the decoder in front of a head, inside of one or
 * inside of a payload, with frame, left and kept as they are there.
 */
bool ws_skip_to_close(struct ws_decoder *d, uint8_t *p, size_t n)
{
	d->state = STATE_DEAD;
	for (;;) {
		size_t take = d->left < n ? (size_t)d->left : n;

		skip_bytes(&p, &n, take);
		d->left -= take;
		if (d->left > 0)
			return false;
		if (d->kept == 0 && (d->frame & BITS_OPCODE) == WS_CLOSE)
			return true;
		if (!keep_bytes(d, d->keep, &p, &n, 2) ||
			!keep_bytes(d, d->keep, &p, &n, head_length(d->keep)))
			return false;
		d->kept = 0;
		d->frame = d->keep[0];
		(void)head_read_length(d->keep, &d->left);
	}
}

/* --- encoding -------------------------------------------------------------*/

size_t ws_encode_head(uint8_t out[WS_HEAD_MAX], uint8_t opcode, bool fin,
	uint64_t n, const uint8_t mask[4])
{
	size_t extended = n < LENGTH_16 ? 0 : n <= UINT16_MAX ? 2 : 8;
	uint8_t short_length = extended == 0   ? (uint8_t)n
			       : extended == 2 ? LENGTH_16
					       : LENGTH_64;

	assert((opcode & ~BITS_OPCODE) == 0 && n >> 63 == 0);
	out[0] = (uint8_t)(opcode | (fin ? BIT_FIN : 0));
	out[1] = (uint8_t)(short_length | (mask ? BIT_MASK : 0));
	for (size_t i = 0; i < extended; i++)
		out[2 + i] = (uint8_t)(n >> 8 * (extended - 1 - i));
	if (!mask)
		return 2 + extended;
	memcpy(out + 2 + extended, mask, 4);
	return 2 + extended + 4;
}

size_t ws_encode_close(
	uint8_t out[WS_CONTROL_MAX], uint16_t code, struct str reason)
{
	size_t n = utf8_prefix(reason.p, reason.n, WS_CLOSE_REASON_MAX);

	if (code == WS_CODE_NONE)
		return 0;
	out[0] = (uint8_t)(code >> 8);
	out[1] = (uint8_t)code;
	if (n > 0)
		memcpy(out + 2, reason.p, n);
	return 2 + n;
}

bool ws_code_valid(uint16_t code)
{
	/* 1004 to 1006 and 1015 are never sent, 1016 to 2999 unassigned. */
	return (code >= 1000 && code <= 1003) ||
	       (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
