#include "codec/tagged.h"

#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "codec/utf8.h"
#include "codec/ws.h"

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* One spelling for each: what was given out is what comes back. */
static bool read_id(uint64_t *id, const uint8_t *p, size_t n)
{
	uint64_t value = 0;

	if (n == 0 || n > TAGGED_ID_MAX || p[0] == '0')
		return false;
	for (size_t i = 0; i < n; i++) {
		int digit = hex_value(p[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint64_t)digit;
	}
	*id = value;
	return true;
}

/* "CODE" or "CODE reason". */
static enum tagged_error read_close(struct tagged_message *m)
{
	unsigned code = 0;

	if (m->n < 4 || (m->n > 4 && m->data[4] != ' '))
		return TAGGED_BAD_CODE;
	for (size_t i = 0; i < 4; i++) {
		if (m->data[i] < '0' || m->data[i] > '9')
			return TAGGED_BAD_CODE;
		code = code * 10 + (unsigned)(m->data[i] - '0');
	}
	if (code != WS_CODE_NORMAL && (code < 3000 || code > 4999))
		return TAGGED_BAD_CODE;
	m->code = (uint16_t)code;
	m->data += m->n > 4 ? 5 : 4;
	m->n -= m->n > 4 ? 5 : 4;
	if (m->n > WS_CLOSE_REASON_MAX)
		return TAGGED_LONG_REASON;
	return utf8_valid(m->data, m->n) ? TAGGED_OK : TAGGED_NOT_UTF8;
}

enum tagged_error tagged_parse(
	struct tagged_message *m, uint8_t *p, size_t n, bool text, size_t max)
{
	const uint8_t *space;
	size_t seen;

	if (n < 2 || (p[0] != '>' && p[0] != 'x') || p[1] != ' ')
		return TAGGED_BAD_VERB;
	m->verb = p[0] == '>' ? TAGGED_SEND : TAGGED_CLOSE;
	p += 2;
	n -= 2;
	/* However long the message is, an id is not. */
	seen = n < TAGGED_ID_MAX + 1 ? n : TAGGED_ID_MAX + 1;
	space = seen > 0 ? memchr(p, ' ', seen) : NULL;
	if (!space)
		return TAGGED_NO_SPACE;
	seen = (size_t)(space - p);
	m->id = 0;
	m->code = 0;
	m->data = p + seen + 1;
	m->n = n - seen - 1;
	if (!(m->verb == TAGGED_SEND && seen == 1 && p[0] == '*') &&
		!read_id(&m->id, p, seen))
		return TAGGED_BAD_ID;
	if (m->verb == TAGGED_CLOSE)
		return read_close(m);
	if (m->n > max)
		return TAGGED_TOO_BIG;
	return !text || utf8_valid(m->data, m->n) ? TAGGED_OK : TAGGED_NOT_UTF8;
}

const char *tagged_strerror(enum tagged_error e)
{
	switch (e) {
	case TAGGED_BAD_VERB:
		return "expected \"> \" or \"x \" in front";
	case TAGGED_NO_SPACE:
		return "no second space behind an id";
	case TAGGED_BAD_ID:
		return "expected a client's id or, behind >, a *";
	case TAGGED_BAD_CODE:
		return "expected the code 1000 or 3000 to 4999";
	case TAGGED_LONG_REASON:
		return "a reason of more than 123 bytes";
	case TAGGED_NOT_UTF8:
		return "text that is not UTF-8";
	case TAGGED_TOO_BIG:
		return "a message too long";
	case TAGGED_OK:
	case TAGGED_ERRORS:
		break;
	}
	return "no error";
}

/* --- to the backend ---------------------------------------------------------*/

/* Returns the number of digits. */
static size_t write_id(uint8_t *out, uint64_t id)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 1;

	for (uint64_t rest = id >> 4; rest; rest >>= 4)
		n++;
	for (size_t i = n; i-- > 0; id >>= 4)
		out[i] = (uint8_t)digits[id & 15];
	return n;
}

static size_t write_prefix(
	uint8_t out[TAGGED_PREFIX_MAX], char verb, uint64_t id)
{
	size_t n;

	out[0] = (uint8_t)verb;
	out[1] = ' ';
	n = 2 + write_id(out + 2, id);
	out[n] = ' ';
	return n + 1;
}

size_t tagged_write_prefix(uint8_t out[TAGGED_PREFIX_MAX], uint64_t id)
{
	return write_prefix(out, '>', id);
}

static int add_json(const char *p, size_t n, void *out)
{
	return buf_add(out, p, n, SIZE_MAX);
}

/* "V ID {...}"; takes the object, which is NULL when there was no memory. */
static int add_event(struct buf *out, char verb, uint64_t id, json_t *object)
{
	uint8_t prefix[TAGGED_PREFIX_MAX];
	int result = -1;

	if (object && buf_add(out, prefix, write_prefix(prefix, verb, id),
			      SIZE_MAX) == 0)
		result = json_dump_callback(
			object, add_json, out, JSON_COMPACT);
	json_decref(object);
	return result;
}

/* Takes the name into the object. */
static int set_name(json_t *object, const char *key, const char *name)
{
	json_t *value = name && utf8_valid(name, strlen(name))
				? json_string(name)
				: json_null();

	return json_object_set_new(object, key, value);
}

int tagged_add_joined(struct buf *out, const struct tagged_client *c)
{
	json_t *object = json_object();

	if (object && set_name(object, "sub", c->subject) == 0 &&
		set_name(object, "perm", c->perm) == 0 &&
		set_name(object, "peer", c->peer) == 0 &&
		set_name(object, "path", c->path) == 0)
		return add_event(out, '+', c->id, object);
	json_decref(object);
	return -1;
}

int tagged_add_left(struct buf *out, uint64_t id, const char *reason)
{
	json_t *object = json_object();

	if (object && set_name(object, "reason", reason) == 0)
		return add_event(out, '-', id, object);
	json_decref(object);
	return -1;
}

int tagged_add_driver(struct buf *out, uint64_t id)
{
	uint8_t prefix[TAGGED_PREFIX_MAX];

	if (id == 0)
		return buf_add_str(out, STR("= -"));
	/* Nothing follows, so no space either. */
	return buf_add(
		out, prefix, write_prefix(prefix, '=', id) - 1, SIZE_MAX);
}
