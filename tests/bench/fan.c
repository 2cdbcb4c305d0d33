/*
 * One publisher and many subscribers in one thread. Each subscriber compares
 * every byte of every message, in order. Prints one line of JSON; exit status
 * 1 if anything at all was wrong.
 *
 *   -l PORT   the publisher is the relay's TCP backend there, framing len32
 *   -U PATH   the publisher is a WebSocket client of the relay
 *
 *   publisher -> relay -> subscribers: stamp (number, time of sending), and
 *                         a slice of the pool that follows from the number
 *
 * A burst (-b messages in one write) leaves when its time has come and the last
 * one has arrived everywhere: a relay that is late is not given messages that
 * it could send together. What is measured begins when all bursts of the
 * warm-up have arrived, and ends when all of the window's have: so the relay's
 * CPU time and the deliveries belong together.
 */
#include "link.h"
#include "process.h"
#include "stats.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS         256
#define HANDSHAKES     200 /* at a time, so that no backlog overflows */
#define TICK_NS        100000000u
#define STALL_NS       (10 * 1000000000ull)
#define STAMP_SIZE     16u
#define STALLED_BUFFER 4096 /* the kernel doubles it */

struct fan;

struct subscriber {
	struct link link; /* the first member */
	struct fan *fan;
	uint64_t next; /* number of the message it waits for */
	uint64_t seq;  /* of the message under way */
	size_t off;    /* bytes of it that came */
	uint8_t stamp[STAMP_SIZE];
};

struct fan {
	struct link_params params;
	const char *path;
	unsigned live, stalled; /* subscribers that read, that do not */
	size_t size;
	unsigned burst;
	double rate; /* bursts a second */
	uint64_t warm, bursts;
	bool gaps; /* messages may be missing, none may be out of order */
	struct process relay;
	struct subscriber *all; /* the live ones first */
	struct link publisher;  /* with -U */
	int listener;           /* with -l */
	int trunk;              /* what the publisher writes to; -1: not yet */
	int epoll;
	uint8_t *pool;
	uint8_t *out; /* one burst, framed */
	size_t out_len, out_sent;
	bool out_watched;
	unsigned opening, open;
	uint64_t start_ns;   /* of the schedule; 0: not all are open */
	uint64_t published;  /* bursts */
	uint64_t deliveries; /* and what was left out, with -g */
	uint64_t skipped;
	uint64_t progress_ns;
	bool measuring, done, failed;
	uint64_t begin_ns, end_ns, begin_skipped;
	struct process_use before, after;
	struct stats latency;
};

static void fan_fail(struct fan *f, const char *what)
{
	fprintf(stderr, "fan: %s\n", what);
	f->failed = true;
	f->done = true;
}

static void fan_watch(struct fan *f, int op, int fd, void *what, bool write)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	if (write)
		event.events |= EPOLLOUT;
	if (epoll_ctl(f->epoll, op, fd, &event) < 0)
		fan_fail(f, strerror(errno));
}

/* --- subscribers -----------------------------------------------------------*/

static const uint8_t *message_content(const struct fan *f, uint64_t seq)
{
	return f->pool + (mix(1, seq) & (POOL_SIZE - 1));
}

static struct subscriber *subscriber_of(struct link *l)
{
	return (struct subscriber *)(void *)l;
}

static uint64_t stamp_field(const uint8_t *stamp, unsigned i)
{
	uint64_t value;

	memcpy(&value, stamp + 8 * i, 8);
	return le64toh(value);
}

/* The stamp is complete: is it the message that had to come? */
static int subscriber_begin(struct subscriber *s)
{
	s->seq = stamp_field(s->stamp, 0);
	if (s->seq < s->next || (s->seq > s->next && !s->fan->gaps))
		return link_fail(&s->link, "message %llu came, not %llu",
			(unsigned long long)s->seq,
			(unsigned long long)s->next);
	return 0;
}

static int subscriber_payload(struct link *l, const uint8_t *p, size_t n)
{
	struct subscriber *s = subscriber_of(l);
	size_t part;

	if (n > s->fan->size - s->off)
		return link_fail(l, "a message is too long");
	if (s->off < STAMP_SIZE) {
		part = STAMP_SIZE - s->off < n ? STAMP_SIZE - s->off : n;
		memcpy(s->stamp + s->off, p, part);
		s->off += part;
		p += part;
		n -= part;
		if (s->off == STAMP_SIZE && subscriber_begin(s) < 0)
			return -1;
	}
	if (memcmp(p, message_content(s->fan, s->seq) + s->off, n) != 0)
		return link_fail(l, "bytes %zu to %zu of message %llu differ",
			s->off, s->off + n, (unsigned long long)s->seq);
	s->off += n;
	return 0;
}

static void fan_delivered(struct fan *f, uint64_t messages, uint64_t sent_ns)
{
	uint64_t all = f->live * (uint64_t)f->burst;

	if (f->measuring)
		stats_add(&f->latency, clock_ns() - sent_ns);
	f->deliveries += messages;
	f->skipped += messages - 1;
	if (!f->measuring && f->deliveries >= all * f->warm) {
		f->measuring = true;
		f->begin_skipped = f->skipped;
		f->begin_ns = clock_ns();
		process_read(&f->relay, &f->before);
	}
	if (f->deliveries >= all * (f->warm + f->bursts)) {
		process_read(&f->relay, &f->after);
		f->end_ns = clock_ns();
		f->done = true;
	}
}

static int subscriber_message(struct link *l)
{
	struct subscriber *s = subscriber_of(l);
	uint64_t messages = s->seq + 1 - s->next;

	if (s->off != s->fan->size)
		return link_fail(
			l, "%zu bytes came of %zu", s->off, s->fan->size);
	s->next = s->seq + 1;
	s->off = 0;
	fan_delivered(s->fan, messages, stamp_field(s->stamp, 1));
	return 0;
}

/* nchan answers every message that is published through a WebSocket. */
static int publisher_payload(struct link *l, const uint8_t *p, size_t n)
{
	(void)l;
	(void)p;
	(void)n;
	return 0;
}

static int publisher_message(struct link *l)
{
	(void)l;
	return 0;
}

static const struct link_cb subscriber_cb = { subscriber_payload,
	subscriber_message };
static const struct link_cb publisher_cb = { publisher_payload,
	publisher_message };

/* Those that never read are not even watched. */
static void subscriber_opened(struct fan *f, struct subscriber *s)
{
	f->opening--;
	f->open++;
	if (s >= f->all + f->live)
		fan_watch(f, EPOLL_CTL_DEL, s->link.fd, NULL, false);
}

static void fan_serve(struct fan *f, struct link *l, unsigned events)
{
	enum link_state was = l->state;
	bool wanted = l->want_write;
	int rc = 0;

	if (was == LINK_CONNECTING)
		rc = link_advance(l);
	if (rc == 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		rc = link_readable(l);
	if (rc == 0 && l->control_len > 0 && l != &f->publisher)
		rc = link_send_control(l) < 0 ? -1 : 0;
	if (rc < 0) {
		fan_fail(f, l->error);
		return;
	}
	if (wanted != l->want_write && l != &f->publisher)
		fan_watch(f, EPOLL_CTL_MOD, l->fd, l, l->want_write);
	if (was == l->state)
		return;
	if (l != &f->publisher) {
		subscriber_opened(f, subscriber_of(l));
		return;
	}
	fan_watch(f, EPOLL_CTL_MOD, l->fd, l, false);
	f->trunk = l->fd;
}

/* --- the publisher -----------------------------------------------------------*/

/* Writes one framed message of that number; returns its size. */
static size_t message_write(const struct fan *f, uint8_t *out, uint64_t seq)
{
	struct wire_head head = { .fin = true,
		.masked = true,
		.opcode = WIRE_BINARY,
		.length = f->size };
	uint64_t stamp[2] = { htole64(seq), htole64(clock_ns()) };
	uint32_t length = htonl((uint32_t)f->size + 1); /* and the opcode */
	uint64_t key = mix(2, seq);
	size_t n;

	if (f->listener >= 0) {
		memcpy(out, &length, 4);
		out[4] = WIRE_BINARY;
		n = 5;
	} else {
		memcpy(head.key, &key, 4);
		n = wire_head_write(out, &head);
	}
	memcpy(out + n, stamp, STAMP_SIZE);
	memcpy(out + n + STAMP_SIZE, message_content(f, seq) + STAMP_SIZE,
		f->size - STAMP_SIZE);
	if (f->listener < 0)
		wire_mask(out + n, out + n, f->size, head.key, 0);
	return n + f->size;
}

/* What is left of a burst leaves when there is room. */
static void fan_flush(struct fan *f)
{
	ssize_t n;
	bool waits;

	n = send(f->trunk, f->out + f->out_sent, f->out_len - f->out_sent,
		MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		fan_fail(f, strerror(errno));
		return;
	}
	f->out_sent += n < 0 ? 0 : (size_t)n;
	waits = f->out_sent < f->out_len;
	if (waits != f->out_watched)
		fan_watch(f, EPOLL_CTL_MOD, f->trunk, &f->publisher, waits);
	f->out_watched = waits;
}

static uint64_t fan_due_ns(const struct fan *f)
{
	return f->start_ns + (uint64_t)((double)f->published * 1e9 / f->rate);
}

/* Those that were published have arrived, and there are more. */
static bool fan_is_ready(const struct fan *f)
{
	return f->start_ns > 0 && f->published < f->warm + f->bursts &&
	       f->deliveries == f->published * f->burst * f->live;
}

static void fan_publish(struct fan *f)
{
	unsigned i;

	if (!fan_is_ready(f) || clock_ns() < fan_due_ns(f))
		return;
	f->out_len = 0;
	f->out_sent = 0;
	for (i = 0; i < f->burst; i++)
		f->out_len += message_write(
			f, f->out + f->out_len, f->published * f->burst + i);
	f->published++;
	fan_flush(f);
}

/* The relay opens its trunk. */
static void fan_accept(struct fan *f)
{
	int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int one = 1;

	if (fd < 0)
		return;
	if (f->trunk >= 0) {
		close(fd);
		fan_fail(f, "the relay opened a second trunk");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	f->trunk = fd;
	fan_watch(f, EPOLL_CTL_ADD, fd, &f->publisher, false);
}

static void fan_serve_trunk(struct fan *f, unsigned events)
{
	char none[256];

	if ((events & EPOLLOUT) && f->out_sent < f->out_len)
		fan_flush(f);
	if (f->listener < 0)
		fan_serve(f, &f->publisher, events);
	else if ((events & ~EPOLLOUT) &&
		 recv(f->trunk, none, sizeof(none), 0) == 0)
		fan_fail(f, "the relay closed its trunk");
}

/* --- the whole ---------------------------------------------------------------*/

static void fan_connect(struct fan *f, struct link *l)
{
	if (link_connect(l) < 0)
		fan_fail(f, l->error);
	else
		fan_watch(f, EPOLL_CTL_ADD, l->fd, l, true);
}

static void fan_open_more(struct fan *f)
{
	unsigned count = f->live + f->stalled;

	if (f->listener < 0 && f->publisher.state == LINK_IDLE)
		fan_connect(f, &f->publisher);
	while (f->open + f->opening < count && f->opening < HANDSHAKES &&
		!f->failed) {
		fan_connect(f, &f->all[f->open + f->opening].link);
		f->opening++;
	}
	if (f->open == count && f->trunk >= 0)
		f->start_ns = clock_ns() + 50000000;
}

static int fan_wait(struct fan *f, struct epoll_event *events)
{
	uint64_t now = clock_ns(), wait = TICK_NS, due;
	struct timespec t = { 0, 0 };

	if (fan_is_ready(f)) {
		due = fan_due_ns(f);
		wait = due > now ? due - now : 0;
		wait = wait < TICK_NS ? wait : TICK_NS;
	}
	t.tv_nsec = (long)wait;
	return epoll_pwait2(f->epoll, events, EVENTS, &t, NULL);
}

static void fan_run(struct fan *f)
{
	struct epoll_event events[EVENTS];
	int i, n;

	f->progress_ns = clock_ns();
	while (!f->done) {
		if (f->start_ns == 0)
			fan_open_more(f);
		else
			fan_publish(f);
		n = fan_wait(f, events);
		for (i = 0; i < n && !f->done; i++) {
			struct link *l = events[i].data.ptr;

			if (l == NULL)
				fan_accept(f);
			else if (l == &f->publisher)
				fan_serve_trunk(f, events[i].events);
			else
				fan_serve(f, l, events[i].events);
		}
		if (n > 0)
			f->progress_ns = clock_ns();
		else if (clock_ns() - f->progress_ns > STALL_NS)
			fan_fail(f, "nothing moves any more");
	}
}

static void fan_report(const struct fan *f)
{
	uint64_t cpu = f->after.cpu_ns - f->before.cpu_ns;
	uint64_t skipped = f->skipped - f->begin_skipped;
	double count = (double)f->latency.count;
	double seconds = (double)(f->end_ns - f->begin_ns) / 1e9;

	printf("{\"errors\":%d,\"subscribers\":%u,\"stalled\":%u,"
	       "\"size\":%zu,\"burst\":%u,\"deliveries\":%.0f,"
	       "\"skipped\":%llu,\"seconds\":%.6f,\"rate\":%.1f,"
	       "\"cpu_seconds\":%.6f,\"cpu_us\":%.4f,"
	       "\"per_cpu_second\":%.1f,",
		f->failed, f->live, f->stalled, f->size, f->burst, count,
		(unsigned long long)skipped, seconds,
		seconds > 0 ? count / seconds : 0, (double)cpu / 1e9,
		count > 0 ? (double)cpu / 1e3 / count : 0,
		cpu > 0 ? count * 1e9 / (double)cpu : 0);
	printf("\"own_memory\":%llu,\"own_memory_grown\":%lld,",
		(unsigned long long)f->after.own_bytes,
		(long long)(f->after.own_bytes - f->before.own_bytes));
	stats_print(&f->latency);
	printf("}\n");
}

static const char usage[] =
	"usage: fan -a ADDRESS:PORT -u PATH -l PORT|-U PATH\n"
	"  -c N     subscribers (1)         -x N     others that never read "
	"(0)\n"
	"  -s N     bytes of a message (125, at least 16)\n"
	"  -b N     messages of a burst (1) -i N     bursts a second (100)\n"
	"  -w SECS  warm-up (0.5)           -d SECS  measured time (2)\n"
	"  -p PID   a process of the relay; may be repeated\n"
	"  -g       the relay may leave messages out\n";

static int fan_listen(struct fan *f, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (f->listener < 0)
		return -1;
	setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(f->listener, (struct sockaddr *)&address, sizeof(address)) <
			       0
		       ? -1
		       : listen(f->listener, 16);
}

static int fan_option(struct fan *f, int option, double *warm, double *window)
{
	switch (option) {
	case 'a':
		f->params.host = optarg;
		return link_address(&f->params.address, optarg);
	case 'u':
		f->path = optarg;
		return 0;
	case 'U':
		f->publisher.path = optarg;
		return 0;
	case 'l':
		return fan_listen(f, optarg);
	case 'c':
		f->live = (unsigned)atoi(optarg);
		return 0;
	case 'x':
		f->stalled = (unsigned)atoi(optarg);
		return 0;
	case 's':
		f->size = strtoul(optarg, NULL, 10);
		return 0;
	case 'b':
		f->burst = (unsigned)atoi(optarg);
		return 0;
	case 'i':
		f->rate = strtod(optarg, NULL);
		return 0;
	case 'w':
		*warm = strtod(optarg, NULL);
		return 0;
	case 'd':
		*window = strtod(optarg, NULL);
		return 0;
	case 'p':
		return process_add(&f->relay, optarg);
	case 'g':
		f->gaps = true;
		return 0;
	}
	return -1;
}

static int fan_prepare(struct fan *f)
{
	static struct link_params publisher;
	struct rlimit files;
	unsigned i;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	f->params.cb = &subscriber_cb;
	f->params.scratch = malloc(LINK_SCRATCH);
	f->pool = pool_new(f->size);
	f->out = malloc(f->burst * (f->size + WIRE_HEAD_MAX));
	f->all = calloc(f->live + f->stalled, sizeof(*f->all));
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (f->params.scratch == NULL || f->pool == NULL || f->out == NULL ||
		f->all == NULL || f->epoll < 0)
		return -1;
	for (i = 0; i < f->live + f->stalled; i++) {
		link_init(&f->all[i].link, &f->params, i, f->path);
		f->all[i].fan = f;
		if (i >= f->live)
			f->all[i].link.receive_buffer = STALLED_BUFFER;
	}
	publisher = f->params;
	publisher.cb = &publisher_cb;
	link_init(&f->publisher, &publisher, i, f->publisher.path);
	if (f->listener >= 0)
		fan_watch(f, EPOLL_CTL_ADD, f->listener, NULL, false);
	return f->failed ? -1 : 0;
}

int main(int argc, char **argv)
{
	static struct fan f = {
		.live = 1,
		.size = 125,
		.burst = 1,
		.rate = 100,
		.listener = -1,
		.trunk = -1,
	};
	double warm = 0.5, window = 2;
	int option;

	while ((option = getopt(argc, argv, "a:u:U:l:c:x:s:b:i:w:d:p:g")) !=
		-1) {
		if (fan_option(&f, option, &warm, &window) < 0) {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (f.params.host == NULL || f.path == NULL || f.live == 0 ||
		f.burst == 0 || f.rate <= 0 || f.size < STAMP_SIZE ||
		(f.listener < 0) == (f.publisher.path == NULL) ||
		optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	f.warm = (uint64_t)(warm * f.rate) + 1;
	f.bursts = (uint64_t)(window * f.rate) + 1;
	if (fan_prepare(&f) < 0) {
		perror("fan");
		return 1;
	}
	fan_run(&f);
	fan_report(&f);
	return f.failed ? 1 : 0;
}
