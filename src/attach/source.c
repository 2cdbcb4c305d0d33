#include "attach/source.h"

#include <inttypes.h>
#include <string.h>

#include "codec/ws.h"
#include "net/conn.h"
#include "net/loop.h"
#include "attach/say.h"

#define SAY_DROPPED_MS 60000

static void unowned_closed(struct conn *c)
{
	(void)c;
}

static const struct conn_cb unowned_cb = { .closed = unowned_closed };

/* --- from the program -----------------------------------------------------*/

/* Where its next message begins is not known: what it prints goes on. */
static void give_up(struct source *s, const char *why)
{
	s->unframed = true;
	say("the program's output has %s: nothing more of it goes to the "
	    "relay, the run goes on",
		why);
}

/* Returns the bytes used. */
static size_t take_messages(struct source *s, uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && !s->unframed && s->conn && conn_goes_on(s->conn)) {
		struct framing_message m;
		ssize_t r;

		if (s->skip.left > 0) {
			used += framing_skip(
				s->framing, p + used, n - used, &s->skip);
			continue;
		}
		r = s->framing->decode(
			p + used, n - used, SOURCE_LONGEST, &s->scanned, &m);
		if (r == 0)
			return used;
		s->scanned = 0;
		if (r == FRAMING_TOO_BIG) {
			s->cb->too_long(s->owner);
			framing_skip_begin(s->framing, p + used, &s->skip);
		} else if (r < 0) {
			give_up(s, framing_strerror((int)r));
		} else {
			used += (size_t)r;
			s->cb->message(s->owner, m.opcode, m.data, m.n);
		}
	}
	return s->unframed ? n : used;
}

static size_t source_input(struct conn *c, uint8_t *p, size_t n)
{
	struct source *s = c->owner;
	size_t used;

	if (n > s->passed)
		s->cb->bytes(s->owner, p + s->passed, n - s->passed);
	used = take_messages(s, p, n);
	s->passed = n - used;
	return used;
}

static void source_ended(struct conn *c, int error)
{
	struct source *s = c->owner;

	s->cb->ended(s->owner, error);
}

static const struct conn_cb source_conn = {
	.input = source_input,
	.ended = source_ended,
	.closed = unowned_closed,
};

/* --- to the program -------------------------------------------------------*/

static void drop(struct source *s, const char *why)
{
	int64_t now = loop_now(s->conn->loop);

	s->dropped++;
	if (s->told_ms != 0 && now - s->told_ms < SAY_DROPPED_MS)
		return;
	say("%" PRIu64 " message%s to the program dropped: %s", s->dropped,
		s->dropped == 1 ? "" : "s", why);
	s->dropped = 0;
	s->told_ms = now;
}

void source_send(struct source *s, uint8_t opcode, uint8_t *p, size_t n)
{
	struct framing_message m = { .opcode = opcode, .data = p, .n = n };
	uint8_t head[FRAMING_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	size_t head_n = 0, tail_n = 0;
	int error;

	/* Many programs read no input, and have closed it: their right. */
	if (!s->conn || conn_is_shut(s->conn))
		return;
	if (s->conn->queued > 0 && s->conn->queued + n > SOURCE_INPUT_MAX) {
		drop(s, "it does not read its input");
		return;
	}
	error = s->framing->encode(&m, head, &head_n, tail, &tail_n);
	if (error) {
		drop(s, framing_strerror(error));
		return;
	}
	conn_send_frame_copied(s->conn, &(struct conn_frame){ .head = head,
						.payload = p,
						.tail = tail,
						.head_n = head_n,
						.payload_n = n,
						.tail_n = tail_n });
}

/* --- life -----------------------------------------------------------------*/

int source_open(struct source *s, struct loop *l, int out, int in,
	enum framing_id framing)
{
	*s = (struct source){ .framing = framing_get(framing) };
	s->conn = conn_new(l, out, in, &source_conn, s);
	return s->conn ? 0 : -1;
}

void source_set_owner(struct source *s, const struct source_cb *cb, void *owner)
{
	s->cb = cb;
	s->owner = owner;
}

void source_set_reading(struct source *s, bool on)
{
	if (s->conn)
		conn_set_reading(s->conn, on);
}

void source_close(struct source *s)
{
	if (!s->conn)
		return;
	conn_set_owner(s->conn, &unowned_cb, NULL);
	conn_close(s->conn);
	s->conn = NULL;
}
