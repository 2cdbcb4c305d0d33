/*
 * An echo server in one thread, as the process behind a relay.
 *
 *   backend --ws PORT     WebSocket: every message comes back as one frame
 *   backend --tcp PORT    raw bytes, as they come
 *   backend --tagged PORT as --ws, but only of messages that begin with ">":
 *                         to a relay's tagged hub, an echo to who sent it
 *
 *   backend --floor PORT  as --ws, but a message goes to everybody else, with
 *                         one send each and nothing more: what fan-out costs
 *                         at least
 *
 *   socket -> scratch -> unmask -> out -> socket
 *                          |        ^
 *                          v        | (last fragment)
 *                       message ----'
 *
 * A message comes back whole whatever fragments it came in, as from a real
 * program: otherwise the way in which a relay cuts messages up would decide
 * about the traffic that it gets back, and relays could not be compared.
 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRATCH_SIZE (512u * 1024)
#define MESSAGE_MAX  (64u * 1024 * 1024)
#define KEPT_MAX     (64u * 1024)
#define EVENTS       256
#define KEY_FIELD    "Sec-WebSocket-Key:"

/* Bytes that grow at their end. */
struct bytes {
	uint8_t *data;
	size_t len;
	size_t size;
};

struct conn {
	LIST_ENTRY(conn) next;
	int fd;
	bool tagged;     /* see above */
	bool open;       /* no upgrade is awaited (any more) */
	bool closing;    /* close once everything is sent */
	bool waiting;    /* the socket was full: nothing is read */
	bool in_frame;   /* a header came, its payload not all */
	bool in_message; /* a fragment came, the last one did not */
	unsigned opcode; /* of the message */
	struct wire_head head;
	uint64_t left; /* payload of the frame still to come */
	size_t phase;  /* and what came of it */
	uint8_t control[WIRE_CONTROL_MAX];
	struct bytes rest;    /* input that is no complete header yet */
	struct bytes message; /* fragments so far */
	struct bytes out;
	size_t ready; /* bytes of out that may leave: whole messages */
	size_t sent;  /* bytes of out that did */
};

struct server {
	bool ws;
	bool tagged;
	bool floor;
	LIST_HEAD(, conn) conns;
	int epoll;
	int listener;
	uint8_t *scratch;
};

/* Makes room for n more bytes; NULL without memory or beyond the bound. */
static uint8_t *bytes_grow(struct bytes *b, size_t n)
{
	size_t size = b->size ? b->size : 4096;
	uint8_t *grown;

	if (n > MESSAGE_MAX || b->len > MESSAGE_MAX - n)
		return NULL;
	while (size < b->len + n)
		size *= 2;
	if (size != b->size) {
		grown = realloc(b->data, size);
		if (grown == NULL)
			return NULL;
		b->data = grown;
		b->size = size;
	}
	b->len += n;
	return b->data + b->len - n;
}

static int bytes_add(struct bytes *b, const void *data, size_t n)
{
	uint8_t *place;

	if (n == 0)
		return 0;
	place = bytes_grow(b, n);
	if (place == NULL)
		return -1;
	memcpy(place, data, n);
	return 0;
}

/* Large buffers are not kept: thousands of connections may be idle. */
static void bytes_clear(struct bytes *b)
{
	b->len = 0;
	if (b->size <= KEPT_MAX)
		return;
	free(b->data);
	b->data = NULL;
	b->size = 0;
}

static void conn_free(struct conn *c)
{
	LIST_REMOVE(c, next);
	close(c->fd);
	free(c->rest.data);
	free(c->message.data);
	free(c->out.data);
	free(c);
}

/* Sends what may leave. -1: the connection is over. */
static int conn_flush(struct conn *c)
{
	ssize_t n;

	c->waiting = false;
	while (c->sent < c->ready) {
		n = send(c->fd, c->out.data + c->sent, c->ready - c->sent,
			MSG_NOSIGNAL);
		if (n < 0) {
			c->waiting = errno == EAGAIN;
			return c->waiting ? 0 : -1;
		}
		c->sent += (size_t)n;
	}
	if (c->sent == c->out.len) {
		bytes_clear(&c->out);
		c->sent = 0;
		c->ready = 0;
	} else if (c->sent > SCRATCH_SIZE) {
		/* A peer that sends without a pause never lets it be empty. */
		c->out.len -= c->sent;
		memmove(c->out.data, c->out.data + c->sent, c->out.len);
		c->sent = 0;
		c->ready = 0;
	}
	return c->closing ? -1 : 0;
}

/* The header of an answer, and room for its payload. */
static uint8_t *conn_answer(struct conn *c, unsigned opcode, size_t n)
{
	struct wire_head head = { .fin = true, .opcode = opcode, .length = n };
	uint8_t bytes[WIRE_HEAD_MAX];

	if (bytes_add(&c->out, bytes, wire_head_write(bytes, &head)) < 0)
		return NULL;
	return bytes_grow(&c->out, n);
}

/* Answers the request head at head..end. */
static int conn_upgrade(struct conn *c, const char *head, const char *end)
{
	char accept[WIRE_ACCEPT_SIZE], answer[256];
	size_t name = sizeof(KEY_FIELD) - 1;
	const char *key, *stop;
	int n;

	/* Field names have no case (RFC 9110 5.1). */
	for (key = head; key + name < end; key++) {
		if (strncasecmp(key, KEY_FIELD, name) == 0)
			break;
	}
	if (key + name >= end)
		return -1;
	key += name;
	while (key < end && *key == ' ')
		key++;
	for (stop = key; stop < end && *stop != '\r' && *stop != ' '; stop++)
		;
	wire_accept(accept, key, (size_t)(stop - key));
	n = snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\n"
		"Upgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	if (bytes_add(&c->out, answer, (size_t)n) < 0)
		return -1;
	c->ready = c->out.len;
	c->open = true;
	return 0;
}

static bool is_control(const struct conn *c)
{
	return c->head.opcode >= WIRE_CLOSE;
}

/* A message in one frame, which needs no assembly. */
static bool is_whole(const struct conn *c)
{
	return c->head.fin && !c->in_message && !is_control(c);
}

/* A header is complete: the payload's place is prepared. */
static int conn_frame_begin(struct conn *c)
{
	/* RFC 6455 5.1: frames from a client are masked; 5.4: order */
	if (!c->head.masked || c->head.length > MESSAGE_MAX)
		return -1;
	if (!is_control(c) &&
		(c->head.opcode == WIRE_CONTINUATION) != c->in_message)
		return -1;
	if (is_whole(c)) {
		if (conn_answer(c, c->head.opcode, c->head.length) == NULL)
			return -1;
		c->out.len -= c->head.length; /* room it keeps */
	} else if (!is_control(c) && !c->in_message) {
		c->opcode = c->head.opcode;
	}
	c->in_frame = true;
	c->left = c->head.length;
	c->phase = 0;
	return 0;
}

static int conn_payload(struct conn *c, const uint8_t *p, size_t n)
{
	uint8_t *place;

	if (is_control(c))
		place = c->control + c->phase;
	else
		place = bytes_grow(is_whole(c) ? &c->out : &c->message, n);
	if (place == NULL)
		return -1;
	wire_mask(place, p, n, c->head.key, c->phase);
	c->phase += n;
	c->left -= n;
	return 0;
}

/* A tagged hub tells of its members, too: that is not for them. */
static bool is_answered(const struct conn *c, const uint8_t *p, size_t n)
{
	return !c->tagged || (n > 0 && p[0] == '>');
}

static int conn_frame_end(struct conn *c)
{
	const void *data = c->control;
	size_t n = c->phase;
	unsigned opcode = c->head.opcode;
	uint8_t *place;

	c->in_frame = false;
	if (is_whole(c)) {
		if (!is_answered(c, c->out.data + c->out.len - n, n))
			c->out.len = c->ready;
		c->ready = c->out.len;
		return 0;
	}
	if (opcode == WIRE_PONG)
		return 0;
	if (opcode == WIRE_PING) {
		opcode = WIRE_PONG;
	} else if (opcode == WIRE_CLOSE) {
		c->closing = true;
	} else {
		c->in_message = !c->head.fin;
		if (c->in_message)
			return 0;
		opcode = c->opcode;
		data = c->message.data;
		n = c->message.len;
		if (!is_answered(c, data, n)) {
			bytes_clear(&c->message);
			return 0;
		}
	}
	place = conn_answer(c, opcode, n);
	if (place == NULL)
		return -1;
	if (n > 0)
		memcpy(place, data, n);
	if (data == c->message.data)
		bytes_clear(&c->message);
	c->ready = c->out.len;
	return 0;
}

/* Returns how much of the n bytes was used, -1 on a protocol error. */
static ssize_t conn_frames(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = 0, chunk;
	int size;

	while (!c->closing) {
		if (!c->in_frame) {
			size = wire_head_read(&c->head, p + used, n - used);
			if (size < 0 || (size > 0 && conn_frame_begin(c) < 0))
				return -1;
			if (size == 0)
				break;
			used += (size_t)size;
		}
		chunk = n - used < c->left ? n - used : (size_t)c->left;
		if (conn_payload(c, p + used, chunk) < 0)
			return -1;
		used += chunk;
		if (c->left > 0)
			break;
		if (conn_frame_end(c) < 0)
			return -1;
	}
	return (ssize_t)used;
}

/* As conn_frames, with the request head before the frames. */
static ssize_t conn_input(struct conn *c, const uint8_t *p, size_t n)
{
	const char *end;
	size_t head = 0;
	ssize_t used;

	if (!c->open) {
		end = memmem(p, n, "\r\n\r\n", 4);
		if (end == NULL)
			return n < 16384 ? 0 : -1;
		if (conn_upgrade(c, (const char *)p, end + 2) < 0)
			return -1;
		head = (size_t)(end + 4 - (const char *)p);
	}
	used = conn_frames(c, p + head, n - head);
	return used < 0 ? -1 : used + (ssize_t)head;
}

/* Whoever does not take all at once has spoiled the measurement: he ends. */
static int conn_broadcast(struct server *s, struct conn *c)
{
	struct conn *other;

	LIST_FOREACH (other, &s->conns, next) {
		if (other != c && send(other->fd, c->out.data, c->ready,
					  MSG_NOSIGNAL) != (ssize_t)c->ready)
			shutdown(other->fd, SHUT_RDWR);
	}
	bytes_clear(&c->out);
	c->ready = 0;
	return c->closing ? -1 : 0;
}

static int conn_read(struct server *s, struct conn *c)
{
	ssize_t n, used;
	size_t rest = c->rest.len;
	bool opened = c->open;

	n = recv(c->fd, s->scratch + rest, SCRATCH_SIZE - rest, 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	if (!s->ws) {
		if (bytes_add(&c->out, s->scratch, (size_t)n) < 0)
			return -1;
		c->ready = c->out.len;
		return conn_flush(c);
	}
	if (rest > 0)
		memcpy(s->scratch, c->rest.data, rest);
	used = conn_input(c, s->scratch, rest + (size_t)n);
	if (used < 0)
		return -1;
	c->rest.len = 0;
	if (bytes_add(&c->rest, s->scratch + used,
		    rest + (size_t)n - (size_t)used) < 0)
		return -1;
	if (s->floor && opened)
		return c->ready > 0 ? conn_broadcast(s, c) : 0;
	return conn_flush(c);
}

static void server_accept(struct server *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct conn *c;
	int fd, one = 1;

	while ((fd = accept4(s->listener, NULL, NULL,
			SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		c = calloc(1, sizeof(*c));
		if (c == NULL) {
			close(fd);
			continue;
		}
		LIST_INSERT_HEAD(&s->conns, c, next);
		c->fd = fd;
		c->open = !s->ws;
		c->tagged = s->tagged;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		event.data.ptr = c;
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
			conn_free(c);
	}
}

static void server_serve(struct server *s, struct conn *c)
{
	struct epoll_event event = { .data.ptr = c };
	bool waited = c->waiting;
	int rc = waited ? conn_flush(c) : conn_read(s, c);

	if (rc < 0) {
		conn_free(c);
		return;
	}
	if (c->waiting == waited)
		return;
	event.events = c->waiting ? EPOLLOUT : EPOLLIN;
	if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
		conn_free(c);
}

static int server_open(struct server *s, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event event = { .events = EPOLLIN };
	int one = 1;

	s->scratch = malloc(SCRATCH_SIZE);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->scratch == NULL || s->epoll < 0 || s->listener < 0)
		return -1;
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->listener, (struct sockaddr *)&address, sizeof(address)) ||
		listen(s->listener, 4096))
		return -1;
	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &event);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	struct server s = { 0 };
	struct rlimit files;
	int i, n;

	if (argc != 3 || (strcmp(argv[1], "--ws") && strcmp(argv[1], "--tcp") &&
				 strcmp(argv[1], "--tagged") &&
				 strcmp(argv[1], "--floor"))) {
		fprintf(stderr,
			"usage: backend --ws|--tcp|--tagged|--floor PORT\n");
		return 2;
	}
	s.tagged = strcmp(argv[1], "--tagged") == 0;
	s.floor = strcmp(argv[1], "--floor") == 0;
	s.ws = strcmp(argv[1], "--tcp") != 0;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	if (server_open(&s, argv[2]) < 0) {
		perror("backend");
		return 1;
	}
	for (;;) {
		n = epoll_wait(s.epoll, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				server_accept(&s);
			else
				server_serve(&s, events[i].data.ptr);
		}
	}
}
