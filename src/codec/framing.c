#include "codec/framing.h"

#include <string.h>

#include "codec/ws.h"

/* --- raw ------------------------------------------------------------------*/

static ssize_t raw_decode(uint8_t *p, size_t n, size_t max, size_t *scanned,
	struct framing_message *message)
{
	/* There are no boundaries, so a long read is cut where max says. */
	size_t take = n < max ? n : max;

	(void)scanned;
	if (take == 0)
		return FRAMING_TOO_BIG;
	*message = (struct framing_message){ WS_BINARY, p, take, 0 };
	return (ssize_t)take;
}

static int raw_encode(const struct framing_message *message,
	uint8_t head[FRAMING_HEAD_MAX], size_t *head_n,
	uint8_t tail[FRAMING_TAIL_MAX], size_t *tail_n)
{
	(void)message;
	(void)head;
	(void)tail;
	*head_n = 0;
	*tail_n = 0;
	return 0;
}

/* --- line -----------------------------------------------------------------*/

/* The length of a line of n bytes without the CR at its end. */
static size_t without_cr(const uint8_t *p, size_t n)
{
	return n > 0 && p[n - 1] == '\r' ? n - 1 : n;
}

static ssize_t line_decode(uint8_t *p, size_t n, size_t max, size_t *scanned,
	struct framing_message *message)
{
	uint8_t *end = memchr(p + *scanned, '\n', n - *scanned);
	size_t seen = end ? (size_t)(end - p) : n;
	size_t length = without_cr(p, seen);

	if (length > max)
		return FRAMING_TOO_BIG;
	if (!end) {
		*scanned = n;
		return 0;
	}
	*message = (struct framing_message){ WS_TEXT, p, length, 0 };
	return (ssize_t)seen + 1;
}

static int line_encode(const struct framing_message *message,
	uint8_t head[FRAMING_HEAD_MAX], size_t *head_n,
	uint8_t tail[FRAMING_TAIL_MAX], size_t *tail_n)
{
	(void)head;
	if (message->opcode != WS_TEXT)
		return FRAMING_BINARY;
	/* A reader for which CR ends a line would see two: one is forged. */
	if (message->n > 0 && (memchr(message->data, '\n', message->n) ||
				      memchr(message->data, '\r', message->n)))
		return FRAMING_LINE_BREAK;
	*head_n = 0;
	tail[0] = '\n';
	*tail_n = 1;
	return 0;
}

/* --- len32 ----------------------------------------------------------------*/

#define LENGTH_BYTES 4

static uint32_t len32_length(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static ssize_t len32_decode(uint8_t *p, size_t n, size_t max, size_t *scanned,
	struct framing_message *message)
{
	uint32_t length;

	(void)scanned;
	if (n < LENGTH_BYTES)
		return 0;
	length = len32_length(p);
	if (length == 0)
		return FRAMING_BAD_LENGTH;
	if (length - 1 > max)
		return FRAMING_TOO_BIG;
	if (n == LENGTH_BYTES)
		return 0;
	if (p[LENGTH_BYTES] != WS_TEXT && p[LENGTH_BYTES] != WS_BINARY)
		return FRAMING_BAD_OPCODE;
	if (n - LENGTH_BYTES < length)
		return 0;
	*message = (struct framing_message){ p[LENGTH_BYTES],
		p + LENGTH_BYTES + 1, length - 1, 0 };
	return (ssize_t)(LENGTH_BYTES + (size_t)length);
}

static int len32_encode(const struct framing_message *message,
	uint8_t head[FRAMING_HEAD_MAX], size_t *head_n,
	uint8_t tail[FRAMING_TAIL_MAX], size_t *tail_n)
{
	uint32_t length;

	(void)tail;
	if (message->opcode != WS_TEXT && message->opcode != WS_BINARY)
		return FRAMING_BAD_OPCODE;
	if (message->n > UINT32_MAX - 1 ||
		message->prefix_n > UINT32_MAX - 1 - message->n)
		return FRAMING_TOO_BIG;
	length = (uint32_t)(message->prefix_n + message->n) + 1;
	for (size_t i = 0; i < LENGTH_BYTES; i++)
		head[i] = (uint8_t)(length >> 8 * (LENGTH_BYTES - 1 - i));
	head[LENGTH_BYTES] = message->opcode;
	*head_n = LENGTH_BYTES + 1;
	*tail_n = 0;
	return 0;
}

/* --- over a message -------------------------------------------------------*/

void framing_skip_begin(
	const struct framing *f, const uint8_t *p, struct framing_skip *s)
{
	/* decode has looked at the length, so it is there. */
	s->left = f->decode == len32_decode
			  ? LENGTH_BYTES + (uint64_t)len32_length(p)
			  : 1;
}

uint64_t framing_length(const struct framing *f, const uint8_t *p)
{
	return f->decode == len32_decode ? len32_length(p) - 1 : 0;
}

size_t framing_skip(const struct framing *f, const uint8_t *p, size_t n,
	struct framing_skip *s)
{
	const uint8_t *end;
	size_t used = n;

	if (f->decode == len32_decode) {
		if (s->left < n)
			used = (size_t)s->left;
		s->left -= used;
		return used;
	}
	end = n > 0 ? memchr(p, '\n', n) : NULL;
	if (!end)
		return n;
	s->left = 0;
	return (size_t)(end - p) + 1;
}

/* --- the table ------------------------------------------------------------*/

static const struct framing framings[] = {
	[FRAMING_RAW] = { "raw", false, raw_decode, raw_encode },
	[FRAMING_LINE] = { "line", true, line_decode, line_encode },
	[FRAMING_LEN32] = { "len32", true, len32_decode, len32_encode },
};

const struct framing *framing_get(enum framing_id id)
{
	return id == FRAMING_NONE ? NULL : &framings[id];
}

const char *framing_strerror(int error)
{
	switch ((enum framing_error)error) {
	case FRAMING_TOO_BIG:
		return "a message too long";
	case FRAMING_BAD_OPCODE:
		return "an opcode that is neither 1 nor 2";
	case FRAMING_BAD_LENGTH:
		return "a length of 0";
	case FRAMING_BINARY:
		return "a binary message, where only text can be carried";
	case FRAMING_LINE_BREAK:
		return "a line feed or a carriage return inside a line";
	}
	return "no error";
}
