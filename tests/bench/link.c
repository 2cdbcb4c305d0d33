/*
 *   socket <- (TLS <- stash) <- link_send
 *   socket -> (TLS) -> scratch -> frames -> link_cb
 */
#include "link.h"

#include "tls.h"

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
	tls_session_free(l->session);
	free(l->stash);
	l->session = NULL;
	l->stash = NULL;
}

void link_abort(struct link *l)
{
	tls_free(l->tls);
	l->tls = NULL;
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
	l->connected = false;
	l->requested = false;
	l->resumed = false;
	l->stash_len = 0;
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

/*
 * OpenSSL wants the bytes again that it could not send. Not every owner of a
 * link can have them again, so they are kept here.
 */
static int stash_keep(struct link *l, const void *p, size_t n)
{
	if (l->stash == NULL)
		l->stash = malloc(TLS_RECORD);
	if (l->stash == NULL)
		return link_fail(l, "no memory");
	memcpy(l->stash, p, n);
	l->stash_len = n;
	l->want_write = true;
	return 0;
}

int link_flush(struct link *l)
{
	ssize_t n;

	if (l->stash_len == 0)
		return 1;
	n = tls_write(l->tls, l->stash, l->stash_len);
	if (n == TLS_WANT_WRITE) {
		l->want_write = true;
		return 0;
	}
	if (n < 0)
		return link_fail(l, "send: %s", tls_error());
	l->stash_len = 0;
	return 1;
}

static ssize_t link_send_tls(struct link *l, const uint8_t *p, size_t n)
{
	size_t taken = 0, part;
	ssize_t rc = link_flush(l);

	if (rc <= 0)
		return rc;
	while (taken < n && l->stash_len == 0) {
		part = n - taken < TLS_RECORD ? n - taken : TLS_RECORD;
		rc = tls_write(l->tls, p + taken, part);
		if (rc == TLS_WANT_WRITE)
			rc = stash_keep(l, p + taken, part);
		else if (rc < 0)
			return link_fail(l, "send: %s", tls_error());
		if (rc < 0)
			return -1;
		taken += part;
	}
	return (ssize_t)taken;
}

ssize_t link_send(struct link *l, const void *p, size_t n)
{
	ssize_t taken;

	if (l->tls != NULL)
		return link_send_tls(l, p, n);
	taken = send(l->fd, p, n, MSG_NOSIGNAL);
	if (taken < 0 && errno != EAGAIN)
		return link_fail(l, "send: %s", strerror(errno));
	if (taken < (ssize_t)n)
		l->want_write = true;
	return taken < 0 ? 0 : taken;
}

/* Until there is no more, or no room: epoll knows nothing of TLS's buffer. */
static ssize_t link_recv_tls(struct link *l, uint8_t *p, size_t n, bool *ended)
{
	size_t all = 0;
	ssize_t got = 1;

	while (all < n && got > 0) {
		got = tls_read(l->tls, p + all, n - all);
		all += got > 0 ? (size_t)got : 0;
	}
	/* What came before an end is handled first: that shows again. */
	*ended = got == 0 && all == 0;
	if (got == -1)
		return link_fail(l, "recv: %s", tls_error());
	return (ssize_t)all;
}

static ssize_t link_recv(struct link *l, uint8_t *p, size_t n, bool *ended)
{
	ssize_t got;

	if (l->tls != NULL)
		return link_recv_tls(l, p, n, ended);
	got = recv(l->fd, p, n, 0);
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

/* 1: done, 0: under way, -1. */
static int link_handshake(struct link *l)
{
	int rc;

	if (l->tls == NULL)
		l->tls = tls_new(l->params->tls, l->fd, l->session);
	if (l->tls == NULL)
		return link_fail(l, "tls: %s", tls_error());
	rc = tls_handshake(l->tls);
	if (rc == -1)
		return link_fail(l, "handshake: %s", tls_error());
	l->want_write = rc == TLS_WANT_WRITE;
	if (rc != 1)
		return 0;
	l->resumed = tls_is_resumed(l->tls);
	if (l->params->resume && l->session == NULL)
		l->session = tls_session(l->tls);
	return 1;
}

int link_advance(struct link *l)
{
	int error = 0, rc = 1;
	socklen_t size = sizeof(error);

	if (l->requested)
		return 0;
	if (!l->connected) {
		getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error != 0)
			return link_fail(l, "connect: %s", strerror(error));
		l->connected = true;
	}
	if (l->params->tls != NULL)
		rc = link_handshake(l);
	return rc <= 0 ? rc : link_request(l);
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

/* 1: the place was full, and there may be more. */
static int link_read(struct link *l)
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
	return all == LINK_SCRATCH;
}

int link_readable(struct link *l)
{
	int rc = 1;

	if (!l->requested)
		return 0; /* link_advance reads the handshake */
	/* What lies in TLS's buffers does not wake anybody. */
	do
		rc = link_read(l);
	while (rc == 1 && l->tls != NULL);
	return rc < 0 ? -1 : 0;
}
