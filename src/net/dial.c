/*
 * host -> literal? ------------------> addresses -> connect -> done
 *      -> localhost? -> 127.0.0.1, ::1 -^     ^       | next address
 *      -> evdns (A, AAAA) --------------'     '-------'
 *
 * Each attempt gets an equal part of the time that is left, so that one silent
 * address does not use up what a second one would need.
 */
#include "net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "net/loop.h"

#define DIAL_ADDRESSES 16
#define RESOLV_CONF    "/etc/resolv.conf"
#define HOSTS          "/etc/hosts"
#define FILES_CHECK_MS 1000
#define READ_AGAIN     (-1) /* in place of a time of change */

struct dial {
	struct loop *loop;
	struct dial_params params;
	int64_t deadline;
	struct timer timer;
	struct evdns_getaddrinfo_request *query;
	struct addr addrs[DIAL_ADDRESSES];
	size_t n, next;
	int fd;
	struct event *event;
	enum dial_result result; /* told at the end of the turn */
	const char *text;
	bool finished, cancelled;
	struct deferred deferred;
	char *name;
	struct sockaddr_un un;
};

static void dial_next(struct dial *d);

static void dial_free(struct dial *d)
{
	if (d->event)
		event_free(d->event);
	if (d->fd >= 0)
		close(d->fd);
	timer_fini(d->loop, &d->timer);
	free(d->name);
	free(d);
}

static void dial_tell(struct deferred *deferred)
{
	struct dial *d = CONTAINER_OF(deferred, struct dial, deferred);
	int fd = d->fd;

	if (!d->cancelled) {
		struct addr *to = d->next ? &d->addrs[d->next - 1] : NULL;

		d->fd = -1;
		d->params.done(d->params.owner, d->result, fd, to, d->text);
	}
	dial_free(d);
}

/* The end is told when the turn ends, so that done never runs inside start. */
static void dial_end(struct dial *d, enum dial_result result, const char *text)
{
	if (d->finished)
		return;
	d->finished = true;
	d->result = result;
	d->text = text;
	timer_clear(d->loop, &d->timer);
	if (d->event) {
		event_free(d->event);
		d->event = NULL;
	}
	if (result != DIAL_OK && d->fd >= 0) {
		close(d->fd);
		d->fd = -1;
	}
	if (d->query)
		evdns_getaddrinfo_cancel(d->query); /* calls back once more */
	else
		loop_defer(d->loop, &d->deferred, dial_tell);
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	d->cancelled = true;
	dial_end(d, DIAL_TIMEOUT, NULL);
}

/* --- connecting ---------------------------------------------------------------*/

static void connect_failed(struct dial *d, const char *text)
{
	if (d->event) {
		event_free(d->event);
		d->event = NULL;
	}
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->text = text;
	dial_next(d);
}

static void connect_ready(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	int error = 0;
	socklen_t n = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error)
		connect_failed(d, strerror(error));
	else
		dial_end(d, DIAL_OK, NULL);
}

static void connect_timeout(struct timer *t)
{
	struct dial *d = CONTAINER_OF(t, struct dial, timer);

	if (d->next < d->n && d->fd >= 0)
		connect_failed(d, "timed out");
	else
		dial_end(d, DIAL_TIMEOUT,
			d->fd < 0 ? "the name server does not answer"
				  : "timed out");
}

static void connect_to(struct dial *d, const struct sockaddr *sa, socklen_t n)
{
	d->fd = socket(
		sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0) {
		/* A family that this machine has not is one address's fault. */
		if (errno == EAFNOSUPPORT)
			connect_failed(d, strerror(errno));
		else
			dial_end(d, DIAL_INTERNAL, strerror(errno));
		return;
	}
	if (connect(d->fd, sa, n) == 0) {
		dial_end(d, DIAL_OK, NULL);
		return;
	}
	/* A Unix socket says EAGAIN when the backlog is full. */
	if (errno != EINPROGRESS) {
		connect_failed(d, strerror(errno));
		return;
	}
	d->event = event_new(d->loop->base, d->fd, EV_WRITE, connect_ready, d);
	if (!d->event || event_add(d->event, NULL) < 0)
		dial_end(d, DIAL_INTERNAL, strerror(ENOMEM));
}

static void dial_next(struct dial *d)
{
	const struct addr *a;
	int64_t now = loop_now(d->loop);
	int64_t left = d->deadline - now;

	if (d->next == d->n) {
		dial_end(d, DIAL_REFUSED, d->text);
		return;
	}
	a = &d->addrs[d->next++];
	if (left < 0)
		left = 0;
	timer_set(
		d->loop, &d->timer, now + left / (int64_t)(d->n - d->next + 1));
	if (a->family == ADDR_UNIX) {
		connect_to(d, (struct sockaddr *)&d->un, sizeof(d->un));
	} else if (a->family == ADDR_IPV4) {
		struct sockaddr_in in = { .sin_family = AF_INET,
			.sin_port = htons(a->port) };

		memcpy(&in.sin_addr, a->ip, 4);
		connect_to(d, (struct sockaddr *)&in, sizeof(in));
	} else {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
			.sin6_port = htons(a->port) };

		memcpy(&in6.sin6_addr, a->ip, 16);
		connect_to(d, (struct sockaddr *)&in6, sizeof(in6));
	}
}

/* --- resolving ------------------------------------------------------------------*/

/* Returns whether it may be used. */
static bool add_address(struct dial *d, struct addr *a)
{
	const struct cidr_list *allow = d->params.allow;

	if (d->n == DIAL_ADDRESSES)
		return true;
	if (allow && allow->n > 0 && !cidr_list_contains(allow, a))
		return false;
	a->port = d->params.port;
	d->addrs[d->n++] = *a;
	return true;
}

static void resolved(int result, struct evutil_addrinfo *list, void *arg)
{
	struct dial *d = arg;
	bool forbidden = false;

	d->query = NULL;
	if (d->finished) { /* cancelled, or out of time */
		if (list)
			evutil_freeaddrinfo(list);
		loop_defer(d->loop, &d->deferred, dial_tell);
		return;
	}
	if (result) {
		dial_end(d, DIAL_RESOLVE, evutil_gai_strerror(result));
		return;
	}
	for (struct evutil_addrinfo *i = list; i; i = i->ai_next) {
		struct addr a;

		addr_from_sockaddr(&a, i->ai_addr);
		if (!add_address(d, &a))
			forbidden = true;
	}
	evutil_freeaddrinfo(list);
	if (d->n == 0)
		dial_end(d, forbidden ? DIAL_FORBIDDEN : DIAL_RESOLVE, NULL);
	else
		dial_next(d);
}

/* 0: it is not there. */
static int64_t time_of_change(const char *file)
{
	struct stat st;

	return stat(file, &st) < 0 ? 0
				   : (int64_t)st.st_mtim.tv_sec * 1000000000 +
					     st.st_mtim.tv_nsec;
}

static void read_hosts(struct loop *l)
{
	l->dns_hosts_mtime = time_of_change(HOSTS);
	evdns_base_clear_host_addresses(l->dns);
	evdns_base_load_hosts(l->dns, HOSTS);
}

/* Results of evdns_base_resolv_conf_parse that say nothing of the file. */
static bool is_passing(int result)
{
	enum { CANNOT_OPEN = 1, CANNOT_STAT = 2, NO_MEMORY = 4, CUT = 5 };

	return result == CANNOT_OPEN || result == CANNOT_STAT ||
	       result == NO_MEMORY || result == CUT;
}

static void read_resolv_conf(struct loop *l)
{
	int result;

	l->dns_mtime = time_of_change(RESOLV_CONF);
	evdns_base_clear_nameservers_and_suspend(l->dns);
	evdns_base_search_clear(l->dns);
	/* Without the file evdns asks 127.0.0.1, as libc does. */
	result = evdns_base_resolv_conf_parse(
		l->dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE, RESOLV_CONF);
	/* It is there, but there were no descriptors, or no sockets. */
	if ((l->dns_mtime && is_passing(result)) ||
		evdns_base_count_nameservers(l->dns) == 0)
		l->dns_mtime = READ_AGAIN;
	evdns_base_resume(l->dns);
}

/* The names of the system; its files are read again when they have changed. */
static struct evdns_base *resolver(struct loop *l)
{
	int64_t now = loop_now(l);
	bool fresh = !l->dns;

	if (!fresh && now - l->dns_checked < FILES_CHECK_MS)
		return l->dns;
	if (fresh)
		l->dns = evdns_base_new(
			l->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!l->dns)
		return NULL;
	l->dns_checked = now;
	if (fresh || time_of_change(HOSTS) != l->dns_hosts_mtime)
		read_hosts(l);
	if (fresh || time_of_change(RESOLV_CONF) != l->dns_mtime)
		read_resolv_conf(l);
	return l->dns;
}

static void resolve_name(struct dial *d)
{
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct evdns_base *dns = resolver(d->loop);

	if (!dns) {
		dial_end(d, DIAL_INTERNAL, "no resolver");
		return;
	}
	if (evdns_base_count_nameservers(dns) == 0) {
		dial_end(d, DIAL_INTERNAL, "no socket for a name server");
		return;
	}
	timer_set(d->loop, &d->timer, d->deadline);
	d->query = evdns_getaddrinfo(dns, d->name, NULL, &hints, resolved, d);
	/* NULL: it has called back already. */
}

static void resolve_host(struct dial *d)
{
	struct addr a;

	if (addr_parse(&a, str_of(d->name)) == 0) {
		if (add_address(d, &a))
			dial_next(d);
		else
			dial_end(d, DIAL_FORBIDDEN, NULL);
	} else if (strcasecmp(d->name, "localhost") == 0) {
		/* RFC 6761 section 6.3: never a question for the network. */
		struct addr v4 = { .ip = { 127, 0, 0, 1 },
			.family = ADDR_IPV4 };
		struct addr v6 = { .ip = { [15] = 1 }, .family = ADDR_IPV6 };

		(void)add_address(d, &v4);
		(void)add_address(d, &v6);
		if (d->n > 0)
			dial_next(d);
		else
			dial_end(d, DIAL_FORBIDDEN, NULL);
	} else {
		resolve_name(d);
	}
}

struct dial *dial_start(struct loop *l, const struct dial_params *params)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->loop = l;
	d->fd = -1;
	d->params = *params;
	d->deadline = loop_now(l) + params->timeout_ms;
	d->name = params->path ? NULL : str_dup(str_of(params->host));
	if ((!params->path && !d->name) ||
		timer_init(l, &d->timer, connect_timeout) < 0) {
		free(d->name);
		free(d);
		return NULL;
	}
	if (params->path && strlen(params->path) >= sizeof(d->un.sun_path)) {
		dial_end(d, DIAL_REFUSED, strerror(ENAMETOOLONG));
	} else if (params->path) {
		d->un.sun_family = AF_UNIX;
		strcpy(d->un.sun_path, params->path);
		d->addrs[d->n++] = (struct addr){ .family = ADDR_UNIX };
		dial_next(d);
	} else if (params->port == 0) {
		dial_end(d, DIAL_REFUSED, "there is no such port");
	} else {
		resolve_host(d);
	}
	return d;
}
