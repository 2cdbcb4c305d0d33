/*
 * The load generator: many WebSocket clients in one thread, each of which
 * checks every byte of its echoes. Prints one line of JSON; exit status 1
 * if anything at all was wrong.
 *
 *   -M echo      messages for a time (-d) or a number of them (-n)
 *   -M connect   connect, upgrade, one echo, close, and again, for a time
 *   -M hold      connections that idle; a line "burst" on standard input
 *                makes each send one message; they end with the input
 *
 * Echoes and connects follow each other as fast as they come back or, with a
 * rate (-i), leave on a fixed schedule.
 *
 *   begin -> warm-up -> window_begin ... window_end -> last echoes -> close
 *
 * What is measured (messages, latencies, the CPU time of other processes,
 * their allocation counters) is read at both ends of the window in here, so
 * that all of it belongs to the same messages.
 */
#include "client.h"
#include "process.h"
#include "stats.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EVENTS     256
#define HANDSHAKES 200 /* at a time, so that no backlog overflows */
#define TICK_NS    100000000
#define STALL_NS   (10 * 1000000000ull)
#define CLOSE_NS   (3 * 1000000000ull)
#define SAMPLES    100000

enum load_mode { MODE_ECHO, MODE_CONNECT, MODE_HOLD };

enum load_phase {
	PHASE_OPENING,
	PHASE_WARM,
	PHASE_WINDOW,
	PHASE_DRAIN, /* nothing new is sent */
	PHASE_CLOSING,
	PHASE_DONE,
};

struct counters {
	uint64_t cpu_ns;
	uint64_t allocations;
};

struct load {
	struct client_params params;
	enum load_mode mode;
	enum load_phase phase;
	unsigned clients;
	uint64_t warm_ns, window_ns; /* -w, -d */
	uint64_t warm_count, count;  /* with -n: messages instead of time */
	double rate;                 /* -i: messages or connects a second */
	const char *ca_file, *suite; /* of TLS */
	struct process relay;
	const uint64_t *allocations; /* mapped, see malloc_count.c */
	struct client *all;
	int epoll;
	unsigned opening, open, late;
	uint64_t phase_ns; /* when the phase began */
	uint64_t progress_ns;
	uint64_t echoes; /* of all phases */
	uint64_t connects;
	uint64_t paced, pace_ns; /* what left by the schedule; its start */
	unsigned paced_at;       /* whose turn it is */
	uint64_t resumed;        /* TLS sessions, in the window */
	struct counters before, after;
	uint64_t begin_ns, begin_echoes, begin_connects;
	uint64_t end_ns, end_echoes, end_connects;
	struct stats latency;
	uint32_t *samples; /* ns, with -n */
	uint64_t sample_count;
	bool bursting;
	bool failed;
};

static void counters_read(const struct load *l, struct counters *out)
{
	memset(out, 0, sizeof(*out));
	out->cpu_ns = process_cpu_ns(&l->relay);
	if (l->allocations != NULL)
		out->allocations = __atomic_load_n(
			l->allocations, __ATOMIC_RELAXED);
}

static void load_phase_set(struct load *l, enum load_phase phase)
{
	l->phase = phase;
	l->phase_ns = clock_ns();
	l->progress_ns = l->phase_ns;
}

static void window_begin(struct load *l)
{
	load_phase_set(l, PHASE_WINDOW);
	stats_clear(&l->latency);
	l->sample_count = 0;
	l->begin_echoes = l->echoes;
	l->begin_connects = l->connects;
	l->resumed = 0;
	l->begin_ns = clock_ns();
	counters_read(l, &l->before);
}

static void window_end(struct load *l)
{
	unsigned i;

	counters_read(l, &l->after);
	l->end_ns = clock_ns();
	l->end_echoes = l->echoes;
	l->end_connects = l->connects;
	load_phase_set(l, PHASE_DRAIN);
	for (i = 0; i < l->clients; i++)
		l->all[i].quota = 0;
}

static void load_fail(struct load *l, const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	l->failed = true;
	if (l->phase == PHASE_WINDOW)
		window_end(l);
	l->phase = PHASE_DONE;
}

/* epoll's view follows want_write only when that changed. */
static void load_watch(struct load *l, struct client *c, bool was, int op)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	if (op == EPOLL_CTL_MOD && was == c->link.want_write)
		return;
	if (c->link.want_write)
		event.events |= EPOLLOUT;
	if (epoll_ctl(l->epoll, op, c->link.fd, &event) < 0)
		load_fail(l, strerror(errno));
}

static void load_check(struct load *l, struct client *c, int rc)
{
	if (rc < 0)
		load_fail(l, c->link.error);
}

static void load_connect(struct load *l, struct client *c)
{
	if (client_connect(c) < 0) {
		load_fail(l, c->link.error);
		return;
	}
	l->opening++;
	load_watch(l, c, false, EPOLL_CTL_ADD);
}

/* Everybody may send (more); for those whom no event wakes. */
static void load_kick(struct load *l, uint64_t quota)
{
	unsigned i;
	bool was;

	for (i = 0; i < l->clients && !l->failed; i++) {
		struct client *c = &l->all[i];

		if (c->link.state != LINK_OPEN)
			continue;
		c->quota = quota == UINT64_MAX ? quota : c->echoes + quota;
		was = c->link.want_write;
		load_check(l, c, client_send(c));
		if (c->link.state == LINK_OPEN)
			load_watch(l, c, was, EPOLL_CTL_MOD);
	}
}

static void load_echoed(void *user, uint64_t latency_ns)
{
	struct load *l = user;

	l->echoes++;
	if (l->mode == MODE_CONNECT)
		return;
	if (l->phase == PHASE_WARM && l->count > 0 &&
		l->echoes >= l->warm_count) {
		window_begin(l);
		return;
	}
	if (l->phase != PHASE_WINDOW)
		return;
	stats_add(&l->latency, latency_ns);
	if (l->samples != NULL && l->sample_count < SAMPLES)
		l->samples[l->sample_count++] = latency_ns < UINT32_MAX
							? (uint32_t)latency_ns
							: UINT32_MAX;
	if (l->count > 0 && l->echoes - l->begin_echoes >= l->count)
		window_end(l);
}

/* A client's state changed from `was`. */
static void load_follow(struct load *l, struct client *c, enum link_state was)
{
	if (was == LINK_CONNECTING && c->link.state != was)
		l->opening--;
	if (was == LINK_CONNECTING && c->link.state == LINK_OPEN) {
		l->open++;
		l->resumed += c->link.resumed;
		if (l->mode == MODE_CONNECT) {
			stats_add(&l->latency, clock_ns() - c->link.opened_ns);
			c->quota = c->echoes + 1;
			load_check(l, c, client_send(c));
		}
	}
	if (c->link.state != LINK_IDLE || was == LINK_IDLE)
		return;
	l->open--;
	if (l->mode == MODE_CONNECT && l->phase < PHASE_DRAIN) {
		l->connects++;
		if (l->rate == 0)
			load_connect(l, c);
	}
}

static void load_serve(struct load *l, struct client *c, unsigned events)
{
	enum link_state was = c->link.state;
	bool wanted = c->link.want_write;
	uint64_t echoes = c->echoes;
	int rc = 0;

	if (c->link.fd < 0)
		return;
	/* An error shows itself in recv(), or in SO_ERROR before it. */
	if ((events & EPOLLOUT) || c->link.state == LINK_CONNECTING)
		rc = client_send(c);
	if (rc == 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		rc = client_readable(c);
	if (rc == 0 && l->mode == MODE_CONNECT && c->echoes > echoes)
		rc = client_close(c);
	load_check(l, c, rc);
	load_follow(l, c, was);
	/* A client that was connected anew is watched already. */
	if (rc == 0 && !l->failed && c->link.state != LINK_IDLE &&
		!(was == LINK_CLOSING && c->link.state == LINK_CONNECTING))
		load_watch(l, c, wanted, EPOLL_CTL_MOD);
}

static uint64_t pace_due_ns(const struct load *l)
{
	return l->pace_ns + (uint64_t)((double)l->paced * 1e9 / l->rate);
}

/* One more message of the client, or one more life. -1: it is busy. */
static int pace_step(struct load *l, struct client *c)
{
	bool was = c->link.want_write;

	if (l->mode == MODE_CONNECT) {
		if (c->link.state != LINK_IDLE)
			return -1;
		load_connect(l, c);
		return 0;
	}
	c->quota++;
	load_check(l, c, client_send(c));
	if (!l->failed)
		load_watch(l, c, was, EPOLL_CTL_MOD);
	return 0;
}

/* What the schedule says; a client that is still busy lets the next one go. */
static void load_pace(struct load *l)
{
	unsigned busy = 0;

	if (l->pace_ns == 0)
		l->pace_ns = clock_ns();
	while (!l->failed && busy < l->clients &&
		(l->phase == PHASE_WARM || l->phase == PHASE_WINDOW) &&
		clock_ns() >= pace_due_ns(l)) {
		if (pace_step(l, &l->all[l->paced_at++ % l->clients]) < 0) {
			busy++;
			continue;
		}
		l->paced++;
		busy = 0;
	}
}

/* Nothing is under way. In connect mode clients close by themselves. */
static bool load_is_quiet(const struct load *l)
{
	unsigned i;

	for (i = 0; i < l->clients; i++) {
		const struct client *c = &l->all[i];

		if (c->link.state == LINK_CONNECTING)
			return false;
		if (c->link.state == LINK_OPEN &&
			(l->mode == MODE_CONNECT || c->echoes != c->sent ||
				c->sent_off > 0))
			return false;
	}
	return true;
}

static bool load_is_over(const struct load *l)
{
	unsigned i;

	for (i = 0; i < l->clients; i++) {
		if (l->all[i].link.state != LINK_IDLE)
			return false;
	}
	return true;
}

static void load_open_more(struct load *l)
{
	unsigned i;

	for (i = l->open + l->opening;
		i < l->clients && l->opening < HANDSHAKES && !l->failed; i++)
		load_connect(l, &l->all[i]);
	if (l->open < l->clients)
		return;
	load_phase_set(l, PHASE_WARM);
	if (l->mode == MODE_HOLD) {
		printf("open\n");
		fflush(stdout);
	} else {
		load_kick(l, l->rate > 0 ? 0 : UINT64_MAX);
	}
}

/* Closes a bounded number at a time; those that idle forever are late. */
static void load_close_more(struct load *l)
{
	unsigned i, busy = 0;
	bool was;

	for (i = 0; i < l->clients && !l->failed; i++) {
		struct client *c = &l->all[i];

		if (c->link.state == LINK_CLOSING)
			busy++;
		if (c->link.state != LINK_OPEN || busy >= HANDSHAKES)
			continue;
		was = c->link.want_write;
		load_check(l, c, client_close(c));
		if (!l->failed)
			load_watch(l, c, was, EPOLL_CTL_MOD);
		busy++;
	}
	if (clock_ns() - l->phase_ns < CLOSE_NS)
		return;
	for (i = 0; i < l->clients; i++) {
		struct client *c = &l->all[i];

		if (c->link.state != LINK_CLOSING)
			continue;
		link_abort(&c->link);
		l->late++;
		load_follow(l, c, LINK_CLOSING);
	}
}

/* What has to happen between two turns, by phase. */
static void load_turn(struct load *l)
{
	uint64_t now = clock_ns();

	switch (l->phase) {
	case PHASE_OPENING:
		if (l->mode != MODE_CONNECT) {
			load_open_more(l);
			break;
		}
		for (unsigned i = 0;
			i < l->clients && !l->failed && l->rate == 0; i++)
			load_connect(l, &l->all[i]);
		load_phase_set(l, l->failed ? PHASE_DONE : PHASE_WARM);
		break;
	case PHASE_WARM:
		if (l->mode == MODE_HOLD) {
			if (!l->bursting || !load_is_quiet(l))
				break;
			l->bursting = false;
			printf("done\n");
			fflush(stdout);
		} else if (l->count == 0 && now - l->phase_ns >= l->warm_ns) {
			window_begin(l);
		}
		break;
	case PHASE_WINDOW:
		if (l->count == 0 && now - l->begin_ns >= l->window_ns)
			window_end(l);
		break;
	case PHASE_DRAIN:
		if (load_is_quiet(l))
			load_phase_set(l, PHASE_CLOSING);
		break;
	case PHASE_CLOSING:
		load_close_more(l);
		if (load_is_over(l))
			l->phase = PHASE_DONE;
		break;
	case PHASE_DONE:
		break;
	}
}

/* A line of standard input in hold mode. */
static void load_command(struct load *l)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0) {
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		load_phase_set(l, PHASE_CLOSING);
		return;
	}
	line[n] = '\0';
	if (strncmp(line, "burst\n", 6) != 0) {
		load_fail(l, "unknown command");
		return;
	}
	l->progress_ns = clock_ns();
	l->bursting = true;
	load_kick(l, 1);
}

static int load_wait(struct load *l, struct epoll_event *events)
{
	uint64_t now = clock_ns(), due;
	struct timespec t = { 0, TICK_NS };

	if (l->rate > 0 && l->pace_ns > 0 && l->phase < PHASE_DRAIN) {
		due = pace_due_ns(l);
		due = due > now ? due - now : 0;
		t.tv_nsec = due < TICK_NS ? (long)due : (long)TICK_NS;
	}
	return epoll_pwait2(l->epoll, events, EVENTS, &t, NULL);
}

static void load_run(struct load *l)
{
	struct epoll_event events[EVENTS];
	bool waiting;
	int i, n;

	load_phase_set(l, PHASE_OPENING);
	while (l->phase != PHASE_DONE) {
		load_turn(l);
		if (l->phase == PHASE_DONE)
			break;
		if (l->rate > 0)
			load_pace(l);
		n = load_wait(l, events);
		for (i = 0; i < n && !l->failed; i++) {
			if (events[i].data.ptr == NULL)
				load_command(l);
			else
				load_serve(l, events[i].data.ptr,
					events[i].events);
		}
		waiting = l->mode != MODE_HOLD || l->phase != PHASE_WARM ||
			  l->bursting;
		if (n > 0 || !waiting)
			l->progress_ns = clock_ns();
		else if (clock_ns() - l->progress_ns > STALL_NS)
			load_fail(l, "nothing moves any more");
	}
}

static void load_report(const struct load *l)
{
	uint64_t done = l->mode == MODE_CONNECT
				? l->end_connects - l->begin_connects
				: l->end_echoes - l->begin_echoes;
	double seconds = (double)(l->end_ns - l->begin_ns) / 1e9;
	uint64_t cpu = l->after.cpu_ns - l->before.cpu_ns, i;

	printf("{\"errors\":%d,\"clients\":%u,\"size\":%zu,"
	       "\"in_flight\":%u,\"total\":%llu,\"late_closes\":%u,"
	       "\"resumed\":%llu,",
		l->failed, l->clients, l->params.size, l->params.in_flight,
		(unsigned long long)l->echoes, l->late,
		(unsigned long long)l->resumed);
	printf("\"%s\":%llu,\"seconds\":%.6f,\"rate\":%.1f,"
	       "\"cpu_seconds\":%.6f,\"cpu_us\":%.4f,",
		l->mode == MODE_CONNECT ? "connects" : "messages",
		(unsigned long long)done, seconds,
		seconds > 0 ? (double)done / seconds : 0, (double)cpu / 1e9,
		done > 0 ? (double)cpu / 1e3 / (double)done : 0);
	if (l->allocations != NULL)
		printf("\"allocations\":%llu,",
			(unsigned long long)(l->after.allocations -
					     l->before.allocations));
	stats_print(&l->latency);
	if (l->samples != NULL) {
		printf(",\"samples_us\":[");
		for (i = 0; i < l->sample_count; i++)
			printf("%s%.1f", i ? "," : "", l->samples[i] / 1e3);
		printf("]");
	}
	printf("}\n");
}

static const char usage[] =
	"usage: load -a ADDRESS:PORT [-u PATH] [-M echo|connect|hold]\n"
	"  -c N     clients (1)             -s N     bytes of a message (125)\n"
	"  -k N     messages in flight per client (1)\n"
	"  -w SECS  warm-up (0.5)           -d SECS  measured time (2)\n"
	"  -n N     measured messages instead of a time, after -W N (50)\n"
	"  -p PID   a process whose CPU time counts; may be repeated\n"
	"  -m FILE  allocation counter of the relay (malloc_count.so)\n"
	"  -r       the echo keeps the bytes, not the messages\n"
	"  -i N     messages or connects a second, on a schedule\n"
	"  -T FILE  TLS 1.2, trusting these certificates\n"
	"  -S SUITE of TLS, as OpenSSL calls it\n"
	"  -e       resume the TLS session, from the second connect on\n";

static int load_allocations_map(struct load *l, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return -1;
	map = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return -1;
	l->allocations = map;
	return 0;
}

static int load_mode_set(struct load *l, const char *name)
{
	static const char *const names[] = { "echo", "connect", "hold" };
	unsigned i;

	for (i = 0; i < 3; i++) {
		if (strcmp(name, names[i]) == 0) {
			l->mode = (enum load_mode)i;
			return 0;
		}
	}
	return -1;
}

static uint64_t seconds_ns(const char *text)
{
	return (uint64_t)(strtod(text, NULL) * 1e9);
}

static int load_option(struct load *l, int option)
{
	switch (option) {
	case 'a':
		l->params.link.host = optarg;
		return link_address(&l->params.link.address, optarg);
	case 'u':
		l->params.path = optarg;
		return 0;
	case 'M':
		return load_mode_set(l, optarg);
	case 'c':
		l->clients = (unsigned)atoi(optarg);
		return 0;
	case 's':
		l->params.size = strtoul(optarg, NULL, 10);
		return 0;
	case 'k':
		l->params.in_flight = (unsigned)atoi(optarg);
		return 0;
	case 'w':
		l->warm_ns = seconds_ns(optarg);
		return 0;
	case 'd':
		l->window_ns = seconds_ns(optarg);
		return 0;
	case 'n':
		l->count = strtoul(optarg, NULL, 10);
		return 0;
	case 'W':
		l->warm_count = strtoul(optarg, NULL, 10);
		return 0;
	case 'p':
		return process_add(&l->relay, optarg);
	case 'm':
		return load_allocations_map(l, optarg);
	case 'r':
		l->params.stream = true;
		return 0;
	case 'i':
		l->rate = strtod(optarg, NULL);
		return 0;
	case 'T':
		l->ca_file = optarg;
		return 0;
	case 'S':
		l->suite = optarg;
		return 0;
	case 'e':
		l->params.link.resume = true;
		return 0;
	}
	return -1;
}

static int load_prepare(struct load *l)
{
	struct epoll_event event = { .events = EPOLLIN };
	unsigned i;

	l->params.user = l;
	l->params.echoed = load_echoed;
	l->params.pool = pool_new(l->params.size);
	l->params.scratch = malloc(2 * LINK_SCRATCH);
	l->all = calloc(l->clients, sizeof(*l->all));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->params.pool == NULL || l->params.scratch == NULL ||
		l->all == NULL || l->epoll < 0)
		return -1;
	l->params.link.scratch = l->params.scratch + LINK_SCRATCH;
	l->params.link.cb = &client_link_cb;
	if (l->ca_file != NULL) {
		l->params.link.tls = tls_context(l->ca_file, l->suite);
		if (l->params.link.tls == NULL)
			return -1;
	}
	for (i = 0; i < l->clients; i++) {
		if (client_init(&l->all[i], &l->params, i) < 0)
			return -1;
	}
	if (l->count > 0) {
		l->samples = calloc(SAMPLES, sizeof(*l->samples));
		if (l->samples == NULL)
			return -1;
	}
	if (l->mode == MODE_HOLD)
		return epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	return 0;
}

static void load_free(struct load *l)
{
	unsigned i;

	for (i = 0; i < l->clients && l->all != NULL; i++)
		client_fini(&l->all[i]);
	free(l->all);
	free(l->samples);
	free(l->params.pool);
	free(l->params.scratch);
	if (l->epoll >= 0)
		close(l->epoll);
}

int main(int argc, char **argv)
{
	static struct load l = {
		.params = { .path = "/", .size = 125, .in_flight = 1 },
		.clients = 1,
		.warm_ns = 500000000,
		.window_ns = 2000000000,
		.warm_count = 50,
		.suite = "ECDHE-ECDSA-AES128-GCM-SHA256",
		.epoll = -1,
	};
	int option;

	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	while ((option = getopt(argc, argv,
			"a:u:M:c:s:k:w:d:n:W:p:m:ri:T:S:e")) != -1) {
		if (load_option(&l, option) < 0) {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (l.params.link.host == NULL || l.clients == 0 ||
		l.params.size == 0 || l.params.in_flight == 0 ||
		optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (load_prepare(&l) < 0) {
		perror("load");
		return 1;
	}
	load_run(&l);
	load_report(&l);
	load_free(&l);
	return l.failed ? 1 : 0;
}
