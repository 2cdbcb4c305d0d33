/*
 *   client_send:     pool -> frames, masked -> scratch -> socket
 *   client_readable: socket -> scratch -> frames -> compared with the pool
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define POOL_SIZE ((size_t)1 << 20)
#define SOURCES   250

uint64_t client_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static int client_fail(
	struct client *c, const char *format, ...)
{
	va_list args;
	int n = snprintf(c->error, sizeof(c->error),
		"client %u, message %llu: ", c->id,
		(unsigned long long)c->echoes);

	va_start(args, format);
	vsnprintf(c->error + n, sizeof(c->error) - (size_t)n, format, args);
	va_end(args);
	client_abort(c);
	c->state = CLIENT_FAILED;
	return -1;
}

/* SplitMix64's finisher: neighbours in, strangers out. */
static uint64_t mix(uint64_t id, uint64_t seq)
{
	uint64_t z = (id << 40 ^ seq) + 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint8_t *client_pool_new(size_t size)
{
	uint8_t *pool = malloc(POOL_SIZE + size);
	uint64_t word;
	size_t i;

	if (pool == NULL)
		return NULL;
	for (i = 0; i < POOL_SIZE + size; i++) {
		word = mix(1u << 20, i / 8);
		pool[i] = (uint8_t)(word >> 8 * (i % 8));
	}
	return pool;
}

static const uint8_t *message_content(const struct client *c, uint64_t seq)
{
	return c->params->pool + (mix(c->id, seq) & (POOL_SIZE - 1));
}

int client_init(struct client *c, const struct client_params *p, unsigned id)
{
	memset(c, 0, sizeof(*c));
	c->params = p;
	c->id = id;
	c->fd = -1;
	c->sent_ns = calloc(p->in_flight, sizeof(*c->sent_ns));
	return c->sent_ns == NULL ? -1 : 0;
}

void client_fini(struct client *c)
{
	client_abort(c);
	free(c->sent_ns);
	c->sent_ns = NULL;
}

void client_abort(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CLIENT_IDLE;
}

/* A connection begins as if it were the first; the contents go on. */
static void client_reset(struct client *c)
{
	c->sent = c->echoes;
	c->sent_off = 0;
	c->echo_off = 0;
	c->control_len = 0;
	c->control_off = 0;
	c->rest_len = 0;
	c->in_frame = false;
	c->in_message = false;
	c->close_seen = false;
	c->want_write = true;
}

int client_connect(struct client *c)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int one = 1;

	client_reset(c);
	c->opened_ns = client_clock_ns();
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return client_fail(c, "socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* The port is chosen by connect(), not taken from all by bind(). */
	setsockopt(
		c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->id % SOURCES);
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return client_fail(c, "bind: %s", strerror(errno));
	if (connect(c->fd, (const struct sockaddr *)&c->params->address,
		    sizeof(c->params->address)) < 0 &&
		errno != EINPROGRESS)
		return client_fail(c, "connect: %s", strerror(errno));
	c->state = CLIENT_CONNECTING;
	return 0;
}

static int client_request(struct client *c)
{
	static const char hex[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint8_t noise[22];
	char key[25] = { 0 }, text[1024];
	size_t i;
	int n, error = 0;
	socklen_t size = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error != 0)
		return client_fail(c, "connect: %s", strerror(error));
	if (getrandom(noise, sizeof(noise), 0) != sizeof(noise))
		return client_fail(c, "getrandom: %s", strerror(errno));
	/* base64 of 16 bytes (RFC 6455 4.1): the last digit's low four bits
	 * are no data, hence one of A, Q, g, w; here always Q. */
	for (i = 0; i < 21; i++)
		key[i] = hex[noise[i] % 36];
	memcpy(key + 21, "Q==", 3);
	wire_accept(c->accept, key, 24);
	n = snprintf(text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
		"Sec-WebSocket-Version: 13\r\n\r\n",
		c->params->path, c->params->host, key);
	if (n >= (int)sizeof(text))
		return client_fail(c, "the path is too long");
	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return client_fail(c, "request: %s", strerror(errno));
	c->want_write = false;
	return 0;
}

/* Finds a field's value in a response head that ends with an empty line. */
static bool head_has(const char *head, const char *name, const char *value)
{
	const char *line = head;
	size_t n = strlen(name), len = strlen(value);

	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		line += n + 1;
		line += strspn(line, " \t");
		return strncmp(line, value, len) == 0 && line[len] == '\r';
	}
	return false;
}

/* Returns the bytes used, 0 for more; RFC 6455 4.1, last list. */
static ssize_t client_answer(struct client *c, const uint8_t *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	char head[sizeof(c->rest) + 1];
	size_t size;

	if (end == NULL)
		return n < sizeof(c->rest)
			       ? 0
			       : client_fail(c, "an endless response head");
	size = (size_t)(end + 4 - (const char *)p);
	if (size >= sizeof(head))
		return client_fail(c, "a long response head");
	memcpy(head, p, size);
	head[size] = '\0';
	if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
		return client_fail(
			c, "refused: %.*s", (int)strcspn(head, "\r"), head);
	if (!head_has(head, "Sec-WebSocket-Accept", c->accept))
		return client_fail(c, "wrong Sec-WebSocket-Accept");
	c->state = CLIENT_OPEN;
	return (ssize_t)size;
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
	uint64_t key = mix(c->id + 1, ~seq);
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

/* 1: the control frame is gone, 0: it waits. */
static int client_send_control(struct client *c)
{
	ssize_t n;

	while (c->control_off < c->control_len) {
		n = send(c->fd, c->control + c->control_off,
			c->control_len - c->control_off, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			c->want_write = true;
			return 0;
		}
		if (n < 0)
			return client_fail(c, "send: %s", strerror(errno));
		c->control_off += (size_t)n;
	}
	c->control_len = 0;
	c->control_off = 0;
	return 1;
}

/* May another message begin? */
static bool client_may_begin(const struct client *c, uint64_t seq)
{
	return seq < c->quota && seq - c->echoes < c->params->in_flight &&
	       c->state == CLIENT_OPEN;
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
		while (filled < CLIENT_SCRATCH &&
			(off > 0 || client_may_begin(c, seq))) {
			n = frame_part(c, seq, off, out + filled,
				CLIENT_SCRATCH - filled);
			filled += n;
			off += n;
			if (off < frame_size(c->params->size))
				break;
			off = 0;
			seq++;
			/* A control frame goes between two messages. */
			if (c->control_len > 0)
				break;
		}
		if (filled == 0)
			return 1;
		now = client_clock_ns();
		taken = send(c->fd, out, filled, MSG_NOSIGNAL);
		if (taken < 0 && errno != EAGAIN)
			return client_fail(c, "send: %s", strerror(errno));
		if (taken > 0)
			client_advance(c, (size_t)taken, now);
		if (taken < (ssize_t)filled) {
			c->want_write = true;
			return 0;
		}
		if (c->control_len > 0 && c->sent_off == 0)
			return 1;
	}
}

int client_send(struct client *c)
{
	int rc;

	if (c->state == CLIENT_CONNECTING)
		return c->want_write ? client_request(c) : 0;
	c->want_write = false;
	if (c->control_len > 0 && c->sent_off > 0) {
		rc = client_send_data(c); /* ends the frame under way */
		if (rc <= 0)
			return rc;
	}
	if (c->control_len > 0) {
		rc = client_send_control(c);
		if (rc <= 0)
			return rc;
	}
	rc = client_send_data(c);
	return rc < 0 ? -1 : 0;
}

/* Leaves a control frame to client_send; an unsent pong gives way. */
static void client_control(
	struct client *c, unsigned opcode, const uint8_t *payload, size_t n)
{
	struct wire_head head = {
		.fin = true, .masked = true, .opcode = opcode, .length = n
	};
	uint64_t key = mix(c->id + 2, client_clock_ns());
	size_t size;

	if (c->control_off > 0)
		return; /* RFC 6455 5.5.3 lets a pong be left out */
	memcpy(head.key, &key, 4);
	size = wire_head_write(c->control, &head);
	wire_mask(c->control + size, payload, n, head.key, 0);
	c->control_len = size + n;
}

int client_close(struct client *c)
{
	static const uint8_t normal[2] = { 1000 >> 8, 1000 & 0xff };

	c->state = CLIENT_CLOSING;
	client_control(c, WIRE_CLOSE, normal, sizeof(normal));
	return client_send(c);
}

static int client_echo_done(struct client *c)
{
	uint64_t sent = c->sent_ns[c->echoes % c->params->in_flight];

	c->echoes++;
	c->echo_off = 0;
	c->params->echoed(c->params->user, client_clock_ns() - sent);
	return 0;
}

static int client_compare(struct client *c, const uint8_t *p, size_t n)
{
	const uint8_t *wanted;
	size_t chunk, i;

	while (n > 0) {
		/* Begun counts as sent: the echo may overtake send(). */
		if (c->echoes >= c->sent + (c->sent_off > 0 ? 1 : 0))
			return client_fail(c, "more came than was sent");
		chunk = c->params->size - c->echo_off;
		if (chunk == 0)
			return client_fail(c, "the echo is too long");
		chunk = n < chunk ? n : chunk;
		wanted = message_content(c, c->echoes) + c->echo_off;
		if (memcmp(p, wanted, chunk) != 0) {
			for (i = 0; p[i] == wanted[i]; i++)
				;
			return client_fail(c,
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

static int client_frame_end(struct client *c)
{
	c->in_frame = false;
	switch (c->head.opcode) {
	case WIRE_PONG:
		return 0;
	case WIRE_PING:
		client_control(c, WIRE_PONG, c->ping, c->ping_len);
		return 0;
	case WIRE_CLOSE:
		c->close_seen = true;
		if (c->state == CLIENT_CLOSING)
			return 0;
		return client_fail(c, "closed by the server, code %u",
			c->ping_len < 2
				? 1005u
				: (unsigned)(c->ping[0] << 8 | c->ping[1]));
	}
	c->in_message = !c->head.fin;
	if (c->in_message || c->params->stream)
		return 0;
	if (c->echo_off != c->params->size)
		return client_fail(c, "%zu bytes came back of %zu", c->echo_off,
			c->params->size);
	return client_echo_done(c);
}

/* RFC 6455 5.1: no mask from a server; 5.4: the order of fragments. */
static int client_frame_begin(struct client *c)
{
	unsigned opcode = c->head.opcode;

	c->in_frame = true;
	c->left = c->head.length;
	c->ping_len = 0;
	if (c->head.masked)
		return client_fail(c, "a masked frame");
	if (c->close_seen)
		return client_fail(c, "a frame after the close frame");
	if (opcode < WIRE_CLOSE &&
		(opcode == WIRE_CONTINUATION) != c->in_message)
		return client_fail(c, "opcode %u out of order", opcode);
	return 0;
}

static int client_payload(struct client *c, const uint8_t *p, size_t n)
{
	c->left -= n;
	if (c->head.opcode < WIRE_CLOSE)
		return client_compare(c, p, n);
	memcpy(c->ping + c->ping_len, p, n);
	c->ping_len += n;
	return 0;
}

/* Returns the bytes used. */
static ssize_t client_input(struct client *c, const uint8_t *p, size_t n)
{
	size_t used = 0, chunk;
	ssize_t size;

	if (c->state == CLIENT_CONNECTING) {
		size = client_answer(c, p, n);
		if (size <= 0)
			return size;
		used = (size_t)size;
	}
	for (;;) {
		if (!c->in_frame) {
			size = wire_head_read(&c->head, p + used, n - used);
			if (size < 0)
				return client_fail(c, "a broken header");
			if (size == 0)
				return (ssize_t)used;
			if (client_frame_begin(c) < 0)
				return -1;
			used += (size_t)size;
		}
		chunk = n - used < c->left ? n - used : (size_t)c->left;
		if (client_payload(c, p + used, chunk) < 0)
			return -1;
		used += chunk;
		if (c->left > 0)
			return (ssize_t)used;
		if (client_frame_end(c) < 0)
			return -1;
	}
}

int client_readable(struct client *c)
{
	uint8_t *in = c->params->scratch + CLIENT_SCRATCH;
	ssize_t n, used;
	size_t all;

	n = recv(c->fd, in + c->rest_len, CLIENT_SCRATCH - c->rest_len, 0);
	if (n < 0)
		return errno == EAGAIN
			       ? 0
			       : client_fail(c, "recv: %s", strerror(errno));
	if (n == 0) {
		if (!c->close_seen)
			return client_fail(c, "the connection ended");
		client_abort(c);
		return 0;
	}
	memcpy(in, c->rest, c->rest_len);
	all = c->rest_len + (size_t)n;
	used = client_input(c, in, all);
	if (used < 0)
		return -1;
	c->rest_len = all - (size_t)used;
	if (c->rest_len > sizeof(c->rest))
		return client_fail(c, "a long response head");
	memcpy(c->rest, in + used, c->rest_len);
	return client_send(c);
}
