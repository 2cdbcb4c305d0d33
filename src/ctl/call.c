#include "ctl/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "codec/control.h"
#include "ctl/ctl.h"

/* One row, at the most, with values that are cut (base/json.h). */
#define LINE_MAX_N (1u << 20)

static int fail(const char *path)
{
	ctl_complain("%s: %s%s", path, strerror(errno),
		errno == ENOENT || errno == ECONNREFUSED
			? ": no daemon listens there (--socket PATH says "
			  "where one does)"
			: "");
	return -1;
}

/* A daemon that is too busy, or stopped, to greet or take more callers. */
static int check_greeting(struct call *c)
{
	struct str line;
	json_t *greeting;
	const char *error;
	int result = -1;

	if (call_line(c, &line) < 0)
		return -1;
	greeting = json_loadb(line.p, line.n, 0, NULL);
	error = json_string_value(json_object_get(greeting, "error"));
	if (error)
		ctl_complain("%s", error);
	else if (json_integer_value(json_object_get(greeting, "protocol")) !=
		 CONTROL_PROTOCOL)
		ctl_complain("this daemon speaks another protocol: use the "
			     "wsrelayctl that was installed with it");
	else
		result = 0;
	json_decref(greeting);
	return result;
}

int call_open(struct call *c, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	*c = (struct call){ .fd = -1, .line_max = LINE_MAX_N };
	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(path);
	}
	strcpy(un.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return fail(path);
	return check_greeting(c);
}

void call_close(struct call *c)
{
	if (c->fd >= 0)
		close(c->fd);
	buf_free(&c->in);
	c->fd = -1;
}

/* -1: errno. */
static int send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return -1;
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

int call_ask(struct call *c, json_t *request)
{
	char *text = NULL;
	int result = -1;

	errno = ENOMEM;
	if (json_object_set_new(
		    request, "uid", json_integer((json_int_t)getuid())) == 0)
		text = json_dumps(request, JSON_COMPACT);
	if (text && send_all(c->fd, text, strlen(text)) == 0 &&
		send_all(c->fd, "\n", 1) == 0)
		result = 0;
	else
		ctl_complain("cannot ask the daemon: %s",
			errno == EPIPE ? "it has closed the connection"
				       : strerror(errno));
	free(text);
	return result;
}

static bool is_stopped(const struct call *c)
{
	return c->stop && *c->stop;
}

/* -1: it complained. */
static int read_more(struct call *c)
{
	char bytes[65536];
	ssize_t n;

	do
		n = recv(c->fd, bytes, sizeof(bytes), 0);
	while (n < 0 && errno == EINTR && !is_stopped(c));
	if (is_stopped(c))
		return -1;
	if (n > 0 && buf_add(&c->in, bytes, (size_t)n, c->line_max) == 0)
		return 0;
	ctl_complain(n < 0    ? "the connection to the daemon broke"
		     : n == 0 ? "the daemon has closed the connection"
			      : "the daemon's answer is too long");
	return -1;
}

/* The end of the next line; NULL: it has not come yet. */
static const uint8_t *line_end(struct call *c)
{
	const uint8_t *end = NULL;

	if (c->scanned < c->in.n)
		end = memchr(c->in.p + c->scanned, '\n', c->in.n - c->scanned);
	c->scanned = end ? (size_t)(end - c->in.p) : c->in.n;
	return end;
}

bool call_has_line(struct call *c)
{
	return line_end(c) != NULL;
}

int call_line(struct call *c, struct str *line)
{
	const uint8_t *end;

	while (!(end = line_end(c))) {
		buf_drop(&c->in, c->used);
		c->scanned -= c->used;
		c->used = 0;
		if (read_more(c) < 0)
			return -1;
	}
	*line = (struct str){ (char *)c->in.p + c->used,
		(size_t)(end - c->in.p) + 1 - c->used };
	c->used += line->n;
	c->scanned = c->used;
	return 0;
}
