#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "conf/conf.h"
#include "daemon/control.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "worker/credentials.h"
#include "worker/route_counters.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/revocations.h"
#include "gate/verified.h"
#include "pair/pair.h"
#include "daemon/private.h"
#include "daemon/programs.h"
#include "daemon/sections.h"
#include "daemon/service.h"
#include "daemon/store.h"

#define STATUS_MS 5000
#define DAY_MS    (24 * 3600 * 1000)
/* --- configuration ----------------------------------------------------------------*/

/*
 * The log does not run yet: the journal learns the level as from its lines, so
 * that "journalctl -p err" shows why a service does not start.
 */
static void print_lines(struct str text)
{
	bool journal = service_stderr_is_journal();
	struct buf out = { 0 };

	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		struct str line = { text.p,
			end ? (size_t)(end - text.p) + 1 : text.n };

		struct str level = conf_complaint_is_warning(line) ? STR("<4>")
								   : STR("<3>");

		if (journal && buf_add_str(&out, level) < 0)
			break;
		if (buf_add_str(&out, line) < 0)
			break;
		text.p += line.n;
		text.n -= line.n;
	}
	log_print((const char *)out.p, out.n);
	buf_free(&out);
}

static void print_errors(struct buf *errors)
{
	print_lines(buf_str(errors));
	buf_free(errors);
}

void daemon_complain(const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	print_lines(str_of(line));
}

static struct conf *load_conf(const struct daemon_source *source)
{
	struct buf errors = { 0 };
	struct conf *conf = source->load(source->data, &errors);

	print_errors(&errors);
	return conf;
}

/* Becomes the service user, irrevocably. 0, or the exit status. */
static int drop_privileges(const char *user)
{
	struct passwd *pw;

	/*
	 * The capability that bound a low port is not for programs that we
	 * start.
	 */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (!user || geteuid() != 0)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		daemon_complain(
			"wsrelayd: [server] user: there is no user '%s'\n",
			user);
		return EX_CONFIG;
	}
	if (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
		setuid(pw->pw_uid) < 0) {
		daemon_complain("wsrelayd: cannot become user '%s': %s\n", user,
			strerror(errno));
		return EXIT_FAILURE;
	}
	daemon_hide_memory();
	return 0;
}

static void print_count(const char **between, size_t n, const char *what)
{
	if (n == 0)
		return;
	printf("%s%zu %s%s", *between, n, what, n == 1 ? "" : "s");
	*between = ", ";
}

/* Also a file that is not the one that was meant is good: so what is in it. */
static void print_good(const struct conf *c)
{
	const char *between = ": ";
	size_t hubs = 0;

	for (size_t i = 0; i < c->routes_n; i++)
		hubs += c->routes[i].mode == CONF_MODE_HUB;
	for (size_t i = 0; i < c->routes_n; i++)
		if (c->routes[i].to.searched)
			printf("[route %s] backend: %s is %s\n",
				c->routes[i].section.name,
				c->routes[i].to.searched,
				c->routes[i].to.argv[0]);
	printf("configuration is good");
	print_count(&between, c->routes_n, "route");
	print_count(&between, c->pages_n, "page");
	print_count(&between, hubs, "hub");
	printf("\n");
}

int daemon_check(const struct daemon_source *source, FILE *dump)
{
	struct conf *conf = load_conf(source);
	struct buf out = { 0 };
	int status;

	if (!conf)
		return EX_CONFIG;
	if (conf->server.user && geteuid() == 0) {
		struct conf *again;
		struct buf errors = { 0 };

		status = drop_privileges(conf->server.user);
		if (status)
			goto out;
		again = source->load(source->data, &errors);
		if (!again)
			print_errors(&errors);
		buf_free(&errors); /* its warnings were printed already */
		conf_unref(conf);
		conf = again;
		if (!conf)
			return EX_CONFIG;
	}
	status = programs_check(conf);
	if (status)
		goto out;
	status = EXIT_FAILURE;
	if (store_check(conf) < 0)
		goto out;
	if (dump && (conf_dump(&out, conf) < 0 ||
			    fwrite(out.p, 1, out.n, dump) != out.n))
		goto out;
	if (!dump)
		print_good(conf);
	status = EXIT_SUCCESS;
out:
	buf_free(&out);
	conf_unref(conf);
	return status;
}

/* --- signals --------------------------------------------------------------*/

/* Whether there is a terminal that could be closed. */
static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/*
 * SIGHUP is an order to read again; but a daemon that was started in a terminal
 * gets it, too, when that is closed, and is to stop.
 */
static void caught(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	if (sig == SIGHUP && !(d->had_terminal && !has_terminal()))
		(void)daemon_reload(d, false, NULL);
	else
		daemon_stop(d, (int)sig);
}

/* After the workers' end: their counters are quiet. */
static void log_stop_line(const struct daemon *d)
{
	uint64_t accepted = 0, opened = 0, closed = 0;
	struct route_traffic t;

	for (size_t i = 0; i < d->workers_n; i++) {
		const struct counters *c = &d->workers[i]->counters;

		accepted += c->accepted;
		opened += c->opened;
		closed += c->closed;
	}
	t = route_records_traffic(d->shared.records);
	LOG(LOG_INFO, "stop", F_INT("accepted", accepted),
		F_INT("opened", opened), F_INT("closed", closed),
		F_INT("client_messages", t.messages[COUNT_CLIENT]),
		F_INT("backend_messages", t.messages[COUNT_BACKEND]),
		F_INT("log_dropped", log_dropped()));
}

/* --- running --------------------------------------------------------------------------*/

/* A worker that is stuck does not tick; the manager then restarts us. */
static bool workers_alive(const struct daemon *d)
{
	int64_t now = loop_now(d->loop);

	for (size_t i = 0; i < d->workers_n; i++) {
		int64_t seen = atomic_load_explicit(
			&d->workers[i]->tick_ms, memory_order_relaxed);

		if (now - seen > WORKER_TICK_MS + d->watchdog_ms)
			return false;
	}
	return true;
}

static void watchdog_timer(struct timer *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, watchdog);

	if (workers_alive(d))
		service_notify("WATCHDOG=1");
	timer_set(d->loop, t, loop_now(d->loop) + d->watchdog_ms);
}

static void status_timer(struct timer *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, status);
	/* Of clients: a trunk is none. */
	size_t n = atomic_load_explicit(
		&d->shared.connections, memory_order_relaxed);
	char text[64];

	if (n != d->status_n && d->stop == STOP_NOT) {
		snprintf(text, sizeof(text), "STATUS=%zu connections", n);
		service_notify(text);
		d->status_n = n;
	}
	timer_set(d->loop, t, loop_now(d->loop) + STATUS_MS);
}

static int start_log(const struct conf_server *s)
{
	struct log_options o = { .level = (enum log_level)s->log_level,
		.hidden = s->log_hidden,
		.json = s->log_format == CONF_LOG_JSON };

	if (s->log_target == CONF_LOG_JOURNAL)
		o.sink = LOG_JOURNAL;
	else
		o.sink = service_stderr_is_journal() ? LOG_STDERR_PRIORITY
						     : LOG_STDERR;
	if (log_start(&o) < 0) {
		daemon_complain("wsrelayd: cannot start the log: %s\n",
			strerror(errno));
		return -1;
	}
	return 0;
}

static void certificates_timer(struct timer *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, certificates);

	daemon_check_certificates(d);
	timer_set(d->loop, t, loop_now(d->loop) + DAY_MS);
}

static int start_timers(struct daemon *d)
{
	struct loop *l = d->loop;

	if (daemon_stop_init(d) < 0 ||
		timer_init(l, &d->watchdog, watchdog_timer) < 0 ||
		timer_init(l, &d->status, status_timer) < 0 ||
		timer_init(l, &d->certificates, certificates_timer) < 0)
		return -1;
	certificates_timer(&d->certificates);
	d->watchdog_ms = service_watchdog_ms();
	if (d->watchdog_ms > 0)
		timer_set(l, &d->watchdog, loop_now(l));
	timer_set(l, &d->status, loop_now(l) + STATUS_MS);
	return 0;
}

static int catch_signals(struct daemon *d)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		d->signals[i] = evsignal_new(
			d->loop->base, numbers[i], caught, d);
		if (!d->signals[i] || event_add(d->signals[i], NULL) < 0)
			return -1;
	}
	return 0;
}

static size_t workers_wanted(const struct daemon *d)
{
	cpu_set_t cpus;
	int n;

	if (d->conf->server.workers > 0)
		return (size_t)d->conf->server.workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	n = CPU_COUNT(&cpus);
	return n > 0 ? (size_t)n : 1;
}

/*
 * One worker runs here; more have a thread each, and we accept for them. All
 * are made before the first runs: they hold pointers to each other.
 */
static int start_workers(struct daemon *d)
{
	size_t n = workers_wanted(d);

	d->workers = calloc(n, sizeof(struct worker *));
	if (!d->workers)
		return -1;
	d->shared.workers = d->workers;
	d->shared.workers_n = n;
	while (d->workers_n < n) {
		struct worker *w = daemon_worker_new(
			&d->shared, d->conf, n == 1 ? d->loop : NULL);

		if (!w)
			return -1;
		w->index = d->workers_n;
		d->workers[d->workers_n++] = w;
	}
	for (size_t i = 0; i < n; i++)
		if (daemon_worker_start(d->workers[i]) < 0)
			return -1;
	return 0;
}

static int start_daemon(struct daemon *d)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	d->shared.started_ms = (int64_t)now.tv_sec * 1000 +
			       now.tv_nsec / 1000000;
	d->shared.used_since_ms = d->shared.started_ms;
	atomic_init(&d->shared.reloads.last_good, true);
	atomic_init(&d->shared.reloads.good_ms, d->shared.started_ms);
	/* Microseconds since 1970: no two starts ever meet. */
	atomic_init(&d->shared.next_id,
		(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	if (loop_use_threads() < 0 || tls_init() < 0)
		return -1;
	d->sections = sections_new(workers_wanted(d));
	if (!d->sections || sections_adopt(d->sections, d->conf) < 0)
		return -1;
	d->shared.records = sections_records(d->sections);
	d->shared.admission = admission_new();
	d->shared.verified = verified_new();
	d->shared.revocations = revocations_new();
	if (!d->shared.admission || !d->shared.verified ||
		!d->shared.revocations)
		return -1;
	budget_init(&d->shared.budget, (size_t)d->conf->server.max_memory);
	d->loop = loop_new(&d->shared.budget);
	if (!d->loop)
		return -1;
	mailbox_init(&d->mailbox, d->loop, NULL);
	if (catch_signals(d) < 0 || start_workers(d) < 0 ||
		start_timers(d) < 0 || control_start(d) < 0)
		return -1;
	if (daemon_listen(d) < 0)
		return -1;
	/* The last that may fail: it makes of a clean stop one that is not. */
	return store_load(d);
}

/*
 * Without their handlers signals would kill us while we exit, and an orderly
 * stop would look like a crash.
 */
static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

/*
 * Their threads end, then what they have. Callers are left in between: what
 * they had asked of workers may be on its way either way.
 */
static void stop_workers(struct daemon *d)
{
	for (size_t i = 0; i < d->workers_n; i++)
		worker_join(d->workers[i]);
	control_stop(d);
	if (d->loop)
		mailbox_drop(&d->mailbox);
	for (size_t i = 0; i < d->workers_n; i++)
		daemon_worker_stop(d->workers[i]);
}

static void daemon_free(struct daemon *d)
{
	daemon_close_listeners(d);
	block_signals();
	for (size_t i = 0; i < ARRAY_SIZE(d->signals); i++)
		if (d->signals[i])
			event_free(d->signals[i]);
	stop_workers(d);
	store_free(d);
	if (d->sections)
		sections_close(d->sections);
	for (size_t i = 0; i < d->workers_n; i++)
		daemon_worker_free(d->workers[i]);
	daemon_forget_listeners(d);
	free(d->workers);
	if (d->loop)
		mailbox_fini(&d->mailbox);
	loop_free(d->loop);
	control_free(d);
	admission_free(d->shared.admission);
	verified_free(d->shared.verified);
	revocations_free(d->shared.revocations);
	conf_unref(d->conf);
	sections_free(d->sections);
	programs_free(&d->shared);
}

/*
 * Up to the configuration that stays; the sockets are bound. 0, or the exit
 * status.
 */
static int prepare(struct daemon *d, const struct daemon_source *source)
{
	struct conf *first = load_conf(source), *second;
	struct buf errors = { 0 };
	int status = EXIT_FAILURE;

	if (!first)
		return EX_CONFIG;
	if (daemon_bind(d, first, &errors) < 0) {
		print_errors(&errors);
		goto out;
	}
	if (control_bind(d, first) < 0)
		goto out;
	status = drop_privileges(first->server.user);
	if (status)
		goto out;
	second = source->load(source->data, &errors);
	if (!second) {
		print_errors(&errors);
		status = EX_CONFIG;
		goto out;
	}
	buf_free(&errors); /* its warnings were printed by the first load */
	/* The file may have got other listeners between the two. */
	if (daemon_bind(d, second, &errors) < 0) {
		print_errors(&errors);
		conf_unref(second);
		status = EXIT_FAILURE;
		goto out;
	}
	daemon_assign_listens(d, second);
out:
	if (status)
		daemon_close_listeners(d); /* their addresses are first's */
	buf_free(&errors);
	conf_unref(first);
	return status;
}

int daemon_run(const struct daemon_source *source)
{
	struct daemon d = { .source = source,
		.had_terminal = has_terminal(),
		.shared.step = -1 };
	int status;

	TAILQ_INIT(&d.bound);
	TAILQ_INIT(&d.gone);
	LIST_INIT(&d.tappings);
	signal(SIGPIPE, SIG_IGN);
	/* Unused; by default it would end the daemon. */
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGALRM, SIG_IGN);
	/* Ignored is inherited, and then no child could be waited for. */
	signal(SIGCHLD, SIG_DFL);
	daemon_hide_memory();
	daemon_set_limits(&d.shared.limits);
	status = prepare(&d, source);
	if (status == 0)
		status = programs_prepare(&d.shared, d.conf);
	if (status)
		goto out;
	status = EXIT_FAILURE;
	if (store_open(&d) < 0)
		goto out;
	if (start_log(&d.conf->server) < 0)
		goto out;
	LOG(LOG_INFO, "start", F_STR("version", VERSION),
		F_INT("pid", getpid()), F_INT("routes", d.conf->routes_n),
		F_INT("pages", d.conf->pages_n),
		F_INT("workers", workers_wanted(&d)));
	if (start_daemon(&d) < 0) {
		LOG(LOG_ERROR, "start-failed",
			F_STR("detail", strerror(errno)));
		goto out_log;
	}
	daemon_limit_connections(
		&d); /* nothing is accepted before the loop runs */
	service_notify("READY=1");
	if (source->ready)
		source->ready(source->data);
	if (loop_run(d.loop) == 0)
		status = EXIT_SUCCESS;
	stop_workers(&d); /* with what drain_timeout left */
	if (status == EXIT_SUCCESS)
		store_stop(&d);
	log_stop_line(&d);
out_log:
	daemon_free(&d);
	log_stop();
	return status;
out:
	daemon_free(&d);
	return status;
}
