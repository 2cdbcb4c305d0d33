#include "link.h"

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

#define SOURCES 250

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = (a << 40 ^ b) + 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint8_t *pool_new(size_t size)
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

int link_fail(struct link *l, const char *format, ...)
{
	va_list args;
	int n = snprintf(l->error, sizeof(l->error),
		"client %u, message %llu: ", l->id,
		(unsigned long long)l->messages);

	va_start(args, format);
	vsnprintf(l->error + n, sizeof(l->error) - (size_t)n, format, args);
	va_end(args);
	link_abort(l);
	l->state = LINK_FAILED;
	return -1;
}

int link_address(struct sockaddr_in *out, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return -1;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	out->sin_family = AF_INET;
	out->sin_port = htons((uint16_t)atoi(colon + 1));
	return inet_pton(AF_INET, host, &out->sin_addr) == 1 ? 0 : -1;
}

void link_init(struct link *l, const struct link_params *p, unsigned id,
	const char *path)
{
	memset(l, 0, sizeof(*l));
	l->params = p;
	l->path = path;
	l->id = id;
	l->fd = -1;
}

void link_fini(struct link *l)
{
	link_abort(l);
}

void link_abort(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->state = LINK_IDLE;
}

/* A connection begins as if it were the first. */
static void link_reset(struct link *l)
{
	l->control_len = 0;
	l->control_off = 0;
	l->rest_len = 0;
	l->in_frame = false;
	l->in_message = false;
	l->requested = false;
	l->close_seen = false;
	l->want_write = true;
}

int link_connect(struct link *l)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int one = 1;

	link_reset(l);
	l->opened_ns = clock_ns();
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return link_fail(l, "socket: %s", strerror(errno));
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (l->receive_buffer > 0)
		setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &l->receive_buffer,
			sizeof(l->receive_buffer));
	/* The port is chosen by connect(), not taken from all by bind(). */
	setsockopt(
		l->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + l->id % SOURCES);
	if (bind(l->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return link_fail(l, "bind: %s", strerror(errno));
	if (connect(l->fd, (const struct sockaddr *)&l->params->address,
		    sizeof(l->params->address)) < 0 &&
		errno != EINPROGRESS)
		return link_fail(l, "connect: %s", strerror(errno));
	l->state = LINK_CONNECTING;
	return 0;
}

ssize_t link_send(struct link *l, const void *p, size_t n)
{
	ssize_t taken = send(l->fd, p, n, MSG_NOSIGNAL);

	if (taken < 0 && errno != EAGAIN)
		return link_fail(l, "send: %s", strerror(errno));
	if (taken < (ssize_t)n)
		l->want_write = true;
	return taken < 0 ? 0 : taken;
}

/* Reads until the socket is empty or the place is full; 0 at the end. */
static ssize_t link_recv(struct link *l, uint8_t *p, size_t n, bool *ended)
{
	ssize_t got = recv(l->fd, p, n, 0);

	*ended = got == 0;
	if (got < 0 && errno != EAGAIN)
		return link_fail(l, "recv: %s", strerror(errno));
	return got < 0 ? 0 : got;
}

/* --- the upgrade -----------------------------------------------------------*/

static int link_request(struct link *l)
{
	static const char hex[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint8_t noise[22];
	char key[25] = { 0 }, text[1024];
	size_t i;
	int n;

	if (getrandom(noise, sizeof(noise), 0) != sizeof(noise))
		return link_fail(l, "getrandom: %s", strerror(errno));
	/* base64 of 16 bytes (RFC 6455 4.1): the last digit's low four bits
	 * are no data, hence one of A, Q, g, w; here always Q. */
	for (i = 0; i < 21; i++)
		key[i] = hex[noise[i] % 36];
	memcpy(key + 21, "Q==", 3);
	wire_accept(l->accept, key, 24);
	n = snprintf(text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
		"Sec-WebSocket-Version: 13\r\n\r\n",
		l->path, l->params->host, key);
	if (n >= (int)sizeof(text))
		return link_fail(l, "the path is too long");
	if (link_send(l, text, (size_t)n) != n)
		return link_fail(l, "request: %s", strerror(errno));
	l->requested = true;
	l->want_write = false;
	return 0;
}

int link_advance(struct link *l)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (l->requested)
		return 0;
	getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error != 0)
		return link_fail(l, "connect: %s", strerror(error));
	return link_request(l);
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
static ssize_t link_answer(struct link *l, const uint8_t *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	char head[sizeof(l->rest) + 1];
	size_t size;

	if (end == NULL)
		return n < sizeof(l->rest)
			       ? 0
			       : link_fail(l, "an endless response head");
	size = (size_t)(end + 4 - (const char *)p);
	if (size >= sizeof(head))
		return link_fail(l, "a long response head");
	memcpy(head, p, size);
	head[size] = '\0';
	if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
		return link_fail(
			l, "refused: %.*s", (int)strcspn(head, "\r"), head);
	if (!head_has(head, "Sec-WebSocket-Accept", l->accept))
		return link_fail(l, "wrong Sec-WebSocket-Accept");
	l->state = LINK_OPEN;
	return (ssize_t)size;
}

/* --- control frames --------------------------------------------------------*/

int link_send_control(struct link *l)
{
	ssize_t n;

	while (l->control_off < l->control_len) {
		n = link_send(l, l->control + l->control_off,
			l->control_len - l->control_off);
		if (n <= 0)
			return (int)n;
		l->control_off += (size_t)n;
	}
	l->control_len = 0;
	l->control_off = 0;
	return 1;
}

/* An unsent pong gives way. */
static void link_control(
	struct link *l, unsigned opcode, const uint8_t *payload, size_t n)
{
	struct wire_head head = {
		.fin = true, .masked = true, .opcode = opcode, .length = n
	};
	uint64_t key = mix(l->id + 2, clock_ns());
	size_t size;

	if (l->control_off > 0)
		return; /* RFC 6455 5.5.3 lets a pong be left out */
	memcpy(head.key, &key, 4);
	size = wire_head_write(l->control, &head);
	wire_mask(l->control + size, payload, n, head.key, 0);
	l->control_len = size + n;
}

void link_close(struct link *l)
{
	static const uint8_t normal[2] = { 1000 >> 8, 1000 & 0xff };

	l->state = LINK_CLOSING;
	link_control(l, WIRE_CLOSE, normal, sizeof(normal));
}

/* --- frames ----------------------------------------------------------------*/

static int link_frame_end(struct link *l)
{
	l->in_frame = false;
	switch (l->head.opcode) {
	case WIRE_PONG:
		return 0;
	case WIRE_PING:
		link_control(l, WIRE_PONG, l->ping, l->ping_len);
		return 0;
	case WIRE_CLOSE:
		l->close_seen = true;
		if (l->state == LINK_CLOSING)
			return 0;
		return link_fail(l, "closed by the server, code %u",
			l->ping_len < 2
				? 1005u
				: (unsigned)(l->ping[0] << 8 | l->ping[1]));
	}
	l->in_message = !l->head.fin;
	if (l->in_message)
		return 0;
	l->messages++;
	return l->params->cb->message(l);
}

/* RFC 6455 5.1: no mask from a server; 5.4: the order of fragments. */
static int link_frame_begin(struct link *l)
{
	unsigned opcode = l->head.opcode;

	l->in_frame = true;
	l->left = l->head.length;
	l->ping_len = 0;
	if (l->head.masked)
		return link_fail(l, "a masked frame");
	if (l->close_seen)
		return link_fail(l, "a frame after the close frame");
	if (opcode < WIRE_CLOSE &&
		(opcode == WIRE_CONTINUATION) != l->in_message)
		return link_fail(l, "opcode %u out of order", opcode);
	return 0;
}

static int link_payload(struct link *l, const uint8_t *p, size_t n)
{
	l->left -= n;
	if (l->head.opcode < WIRE_CLOSE)
		return n == 0 ? 0 : l->params->cb->payload(l, p, n);
	memcpy(l->ping + l->ping_len, p, n);
	l->ping_len += n;
	return 0;
}

/* Returns the bytes used. */
static ssize_t link_input(struct link *l, const uint8_t *p, size_t n)
{
	size_t used = 0, chunk;
	ssize_t size;

	if (l->state == LINK_CONNECTING) {
		size = link_answer(l, p, n);
		if (size <= 0)
			return size;
		used = (size_t)size;
	}
	for (;;) {
		if (!l->in_frame) {
			size = wire_head_read(&l->head, p + used, n - used);
			if (size < 0)
				return link_fail(l, "a broken header");
			if (size == 0)
				return (ssize_t)used;
			if (link_frame_begin(l) < 0)
				return -1;
			used += (size_t)size;
		}
		chunk = n - used < l->left ? n - used : (size_t)l->left;
		if (link_payload(l, p + used, chunk) < 0)
			return -1;
		used += chunk;
		if (l->left > 0)
			return (ssize_t)used;
		if (link_frame_end(l) < 0)
			return -1;
	}
}

int link_readable(struct link *l)
{
	uint8_t *in = l->params->scratch;
	ssize_t n, used;
	size_t all;
	bool ended;

	n = link_recv(l, in + l->rest_len, LINK_SCRATCH - l->rest_len, &ended);
	if (n <= 0) {
		if (n == 0 && ended && !l->close_seen)
			return link_fail(l, "the connection ended");
		if (ended)
			link_abort(l);
		return (int)n;
	}
	memcpy(in, l->rest, l->rest_len);
	all = l->rest_len + (size_t)n;
	used = link_input(l, in, all);
	if (used < 0)
		return -1;
	l->rest_len = all - (size_t)used;
	if (l->rest_len > sizeof(l->rest))
		return link_fail(l, "a long response head");
	memcpy(l->rest, in + used, l->rest_len);
	return 0;
}
