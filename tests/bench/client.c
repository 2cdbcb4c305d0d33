/*
 *   client_send:     pool -> frames, masked -> scratch -> link
 *   client_readable: link -> client_payload: compared with the pool
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t *message_content(const struct client *c, uint64_t seq)
{
	return c->params->pool + (mix(c->link.id, seq) & (POOL_SIZE - 1));
}

/* The owner of a link: it is its first member. */
static struct client *client_of(struct link *l)
{
	return (struct client *)(void *)l;
}

int client_init(struct client *c, const struct client_params *p, unsigned id)
{
	memset(c, 0, sizeof(*c));
	link_init(&c->link, &p->link, id, p->path);
	c->params = p;
	c->sent_ns = calloc(p->in_flight, sizeof(*c->sent_ns));
	return c->sent_ns == NULL ? -1 : 0;
}

void client_fini(struct client *c)
{
	link_fini(&c->link);
	free(c->sent_ns);
	c->sent_ns = NULL;
}

/* A connection begins as if it were the first; the contents go on. */
int client_connect(struct client *c)
{
	c->sent = c->echoes;
	c->sent_off = 0;
	c->echo_off = 0;
	return link_connect(&c->link);
}

/*
 * Writes the frame of message seq from byte `from` on, as much as fits.
 * The mask key follows from the message too, so that a frame which the
 * socket took in part can be made again.
 */
static size_t frame_part(const struct client *c, uint64_t seq, size_t from,
	uint8_t *out, size_t space)
{
	struct wire_head head = { .fin = true,
		.masked = true,
		.opcode = WIRE_BINARY,
		.length = c->params->size };
	uint64_t key = mix(c->link.id + 1, ~seq);
	uint8_t bytes[WIRE_HEAD_MAX];
	size_t size, n = 0, left;

	memcpy(head.key, &key, 4);
	size = wire_head_write(bytes, &head);
	if (from < size) {
		n = size - from < space ? size - from : space;
		memcpy(out, bytes + from, n);
		from += n;
	}
	if (from < size)
		return n;
	from -= size;
	left = c->params->size - from;
	left = left < space - n ? left : space - n;
	wire_mask(
		out + n, message_content(c, seq) + from, left, head.key, from);
	return n + left;
}

static size_t frame_size(size_t size)
{
	return size + (size < 126 ? 6 : size <= UINT16_MAX ? 8 : 14);
}

/* Accounts for n bytes that the socket took. */
static void client_advance(struct client *c, size_t n, uint64_t now)
{
	size_t frame = frame_size(c->params->size), left;

	while (n > 0) {
		if (c->sent_off == 0)
			c->sent_ns[c->sent % c->params->in_flight] = now;
		left = frame - c->sent_off;
		if (n < left) {
			c->sent_off += n;
			return;
		}
		n -= left;
		c->sent_off = 0;
		c->sent++;
	}
}

/* May another message begin? */
static bool client_may_begin(const struct client *c, uint64_t seq)
{
	return seq < c->quota && seq - c->echoes < c->params->in_flight &&
	       c->link.state == LINK_OPEN;
}

/* Sends the data frames that may go. 1: all did, 0: the socket is full. */
static int client_send_data(struct client *c)
{
	uint8_t *out = c->params->scratch;
	uint64_t seq, now;
	size_t off, n, filled;
	ssize_t taken;

	for (;;) {
		seq = c->sent;
		off = c->sent_off;
		filled = 0;
		while (filled < LINK_SCRATCH &&
			(off > 0 || client_may_begin(c, seq))) {
			n = frame_part(c, seq, off, out + filled,
				LINK_SCRATCH - filled);
			filled += n;
			off += n;
			if (off < frame_size(c->params->size))
				break;
			off = 0;
			seq++;
			/* A control frame goes between two messages. */
			if (c->link.control_len > 0)
				break;
		}
		if (filled == 0)
			return 1;
		now = clock_ns();
		taken = link_send(&c->link, out, filled);
		if (taken < 0)
			return -1;
		client_advance(c, (size_t)taken, now);
		if (taken < (ssize_t)filled)
			return 0;
		if (c->link.control_len > 0 && c->sent_off == 0)
			return 1;
	}
}

int client_send(struct client *c)
{
	int rc;

	if (c->link.state == LINK_CONNECTING)
		return link_advance(&c->link);
	c->link.want_write = false;
	rc = link_flush(&c->link);
	if (rc <= 0)
		return rc;
	if (c->link.control_len > 0 && c->sent_off > 0) {
		rc = client_send_data(c); /* ends the frame under way */
		if (rc <= 0)
			return rc;
	}
	if (c->link.control_len > 0) {
		rc = link_send_control(&c->link);
		if (rc <= 0)
			return rc;
	}
	rc = client_send_data(c);
	return rc < 0 ? -1 : 0;
}

int client_close(struct client *c)
{
	link_close(&c->link);
	return client_send(c);
}

static int client_echo_done(struct client *c)
{
	uint64_t sent = c->sent_ns[c->echoes % c->params->in_flight];

	c->echoes++;
	c->echo_off = 0;
	c->params->echoed(c->params->user, clock_ns() - sent);
	return 0;
}

static int client_compare(struct client *c, const uint8_t *p, size_t n)
{
	const uint8_t *wanted;
	size_t chunk, i;

	while (n > 0) {
		/* Begun counts as sent: the echo may overtake send(). */
		if (c->echoes >= c->sent + (c->sent_off > 0 ? 1 : 0))
			return link_fail(&c->link, "more came than was sent");
		chunk = c->params->size - c->echo_off;
		if (chunk == 0)
			return link_fail(&c->link, "the echo is too long");
		chunk = n < chunk ? n : chunk;
		wanted = message_content(c, c->echoes) + c->echo_off;
		if (memcmp(p, wanted, chunk) != 0) {
			for (i = 0; p[i] == wanted[i]; i++)
				;
			return link_fail(&c->link,
				"byte %zu of %zu is %02x, not %02x",
				c->echo_off + i, c->params->size, p[i],
				wanted[i]);
		}
		c->echo_off += chunk;
		p += chunk;
		n -= chunk;
		if (c->params->stream && c->echo_off == c->params->size &&
			client_echo_done(c) < 0)
			return -1;
	}
	return 0;
}

static int client_payload(struct link *l, const uint8_t *p, size_t n)
{
	return client_compare(client_of(l), p, n);
}

static int client_message(struct link *l)
{
	struct client *c = client_of(l);

	if (c->params->stream)
		return 0;
	if (c->echo_off != c->params->size)
		return link_fail(l, "%zu bytes came back of %zu", c->echo_off,
			c->params->size);
	return client_echo_done(c);
}

const struct link_cb client_link_cb = { client_payload, client_message };

int client_readable(struct client *c)
{
	if (link_readable(&c->link) < 0)
		return -1;
	return c->link.fd < 0 ? 0 : client_send(c);
}
