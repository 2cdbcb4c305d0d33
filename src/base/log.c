/*
 * log.c: from any thread to the one that writes.
 *
 *   log_event -> log_format -> ring (mutex) -> writer thread -> stderr
 *                                |                          \-> journal
 *                                +- full: dropped, counted, reported by
 *                                   "log-dropped" in front of the next line
 *
 * The writer polls before it writes and never makes stderr non-blocking: the
 * terminal is shared with other processes, and the flag with it.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log_format.h"

#ifndef LOG_JOURNAL_SOCKET
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"
#endif

#define RING_BYTES (1u << 20)
#define RING_LINES 8192u
/*
 * Time that log_stop, each line without a writer thread, and log_print without
 * progress may take.
 */
#define STOP_MS   1000
#define DIRECT_MS 100
#define PRINT_MS  1000
/* How often a writer that waits for a blocked sink looks for its end. */
#define LOOK_MS 50

struct sink {
	enum log_sink kind;
	bool json;
	int fd; /* stderr, or the journal's socket */
};

/* Owned by log_start and log_stop; by its own thread once abandoned. */
struct writer {
	struct sink sink;
	pthread_t thread;
	bool stopping;  /* write out what waits, then end */
	bool ended;     /* the thread touches nothing any more */
	bool abandoned; /* log_stop's time was up: the thread frees this */
	size_t lines, first_line; /* in lengths[] */
	size_t bytes, first_byte; /* in ring[] */
	uint16_t lengths[RING_LINES];
	char ring[RING_BYTES];
};

_Static_assert(LOG_LINE_MAX <= UINT16_MAX, "a length fits into lengths[]");

/* The log is the process's, like stderr: the mutex guards all but level, hidden. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t waiting; /* for the writer: a line, or stopping */
	pthread_cond_t ended;   /* for log_stop */
	struct writer *writer;  /* NULL: lines are written at once */
	struct sink sink;
	int journal_fd;      /* kept open once it was */
	uint64_t dropped;    /* since the start */
	uint64_t unreported; /* since the last "log-dropped" */
	atomic_int level;
	_Atomic log_kinds hidden;
} logger = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.waiting = PTHREAD_COND_INITIALIZER,
	.ended = PTHREAD_COND_INITIALIZER,
	.sink = { LOG_STDERR, false, STDERR_FILENO },
	.journal_fd = -1,
	.level = LOG_INFO,
};

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

int log_level_parse(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (str_eq(name, str_of(level_names[i])))
			return (int)i;
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_enabled(enum log_level level)
{
	return (int)level <=
	       atomic_load_explicit(&logger.level, memory_order_relaxed);
}

bool log_wanted(enum log_level level, const char *kind)
{
	log_kinds hidden;

	if (!log_enabled(level))
		return false;
	hidden = atomic_load_explicit(&logger.hidden, memory_order_relaxed);
	return level < LOG_INFO || hidden == 0 ||
	       (hidden & log_kind_find(kind)) == 0;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&logger.level, (int)level, memory_order_relaxed);
}

void log_set_json(bool json)
{
	pthread_mutex_lock(&logger.mutex);
	logger.sink.json = json;
	if (logger.writer)
		logger.writer->sink.json = json;
	pthread_mutex_unlock(&logger.mutex);
}

void log_set_hidden(log_kinds hidden)
{
	atomic_store_explicit(&logger.hidden, hidden, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	uint64_t dropped;

	pthread_mutex_lock(&logger.mutex);
	dropped = logger.dropped;
	pthread_mutex_unlock(&logger.mutex);
	return dropped;
}

/* With the mutex held. */
static void count_dropped(uint64_t lines)
{
	logger.dropped += lines;
	logger.unreported += lines;
}

/* --- the ring, with the mutex held ----------------------------------------*/

static bool ring_add(struct writer *w, const char *line, size_t n)
{
	size_t at = (w->first_byte + w->bytes) % RING_BYTES;
	size_t until_end = RING_BYTES - at;
	size_t part = n < until_end ? n : until_end;

	if (w->lines == RING_LINES || n > RING_BYTES - w->bytes)
		return false;
	memcpy(w->ring + at, line, part);
	memcpy(w->ring, line + part, n - part);
	w->lengths[(w->first_line + w->lines) % RING_LINES] = (uint16_t)n;
	w->lines++;
	w->bytes += n;
	return true;
}

/* Moves the first line to out. Returns its length. */
static size_t ring_take(struct writer *w, char *out)
{
	size_t n = w->lengths[w->first_line];
	size_t until_end = RING_BYTES - w->first_byte;
	size_t part = n < until_end ? n : until_end;

	memcpy(out, w->ring + w->first_byte, part);
	memcpy(out + part, w->ring, n - part);
	w->first_byte = (w->first_byte + n) % RING_BYTES;
	w->bytes -= n;
	w->first_line = (w->first_line + 1) % RING_LINES;
	w->lines--;
	return n;
}

/* Says how many lines are missing here. False: not even that fits. */
static bool ring_report_dropped(struct writer *w)
{
	struct log_field count = F_INT("count", logger.unreported);
	struct log_record record = { .level = LOG_WARN,
		.event = "log-dropped",
		.fields = &count,
		.n = 1 };
	char line[LOG_LINE_MAX];

	if (logger.unreported == 0)
		return true;
	clock_gettime(CLOCK_REALTIME, &record.time);
	if (!ring_add(w, line,
		    log_format(line, &record, w->sink.kind, w->sink.json)))
		return false;
	logger.unreported = 0;
	return true;
}

/* --- sinks ----------------------------------------------------------------*/

static int journal_connect(int fd)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX,
		.sun_path = LOG_JOURNAL_SOCKET };

	return connect(fd, (struct sockaddr *)&un, sizeof(un));
}

static int journal_open(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (journal_connect(fd) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* One try that does not wait. -1 and EAGAIN: later. */
static ssize_t sink_try(const struct sink *s, const char *p, size_t n)
{
	ssize_t written;

	if (s->kind != LOG_JOURNAL)
		return write(s->fd, p, n);
	written = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* The journal may have been restarted: its socket is a new one. */
	if (written < 0 &&
		(errno == ECONNREFUSED || errno == ECONNRESET ||
			errno == ENOTCONN) &&
		journal_connect(s->fd) == 0)
		written = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return written;
}

/*
 * Writes as much as is possible within ms. A pipe that polls as writable has
 * room for PIPE_BUF bytes, so that the write does not block. Returns the
 * bytes written, -1 when the sink is broken, 0 when the time is up.
 */
static ssize_t sink_write(const struct sink *s, const char *p, size_t n, int ms)
{
	struct pollfd poll_fd = { .fd = s->fd, .events = POLLOUT };
	ssize_t written;
	int ready = poll(&poll_fd, 1, ms);

	if (ready == 0)
		return 0;
	written = sink_try(s, p, n < PIPE_BUF ? n : PIPE_BUF);
	if (written < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return written;
}

/* --- the writer thread ----------------------------------------------------*/

/*
 * Takes lines, as many as one write into a pipe carries, or one for the
 * journal. Returns their bytes; 0: there is nothing left and no more to come.
 */
static size_t writer_take(
	struct writer *w, char out[LOG_LINE_MAX], uint64_t *lines)
{
	size_t n = 0;

	*lines = 0;
	while (w->lines == 0) {
		if (logger.unreported > 0) {
			if (!ring_report_dropped(w))
				return 0;
		} else if (w->stopping) {
			return 0;
		} else {
			pthread_cond_wait(&logger.waiting, &logger.mutex);
		}
	}
	while (w->lines > 0 && w->lengths[w->first_line] <= LOG_LINE_MAX - n) {
		n += ring_take(w, out + n);
		(*lines)++;
		if (w->sink.kind == LOG_JOURNAL)
			break;
	}
	return n;
}

/*
 * Writes it all, however long it takes; called and left with the mutex held.
 * False: it was abandoned meanwhile.
 */
static bool writer_write(
	struct writer *w, const char *p, size_t n, uint64_t lines)
{
	while (n > 0 && !w->abandoned) {
		ssize_t written;

		pthread_mutex_unlock(&logger.mutex);
		written = sink_write(&w->sink, p, n, LOOK_MS);
		pthread_mutex_lock(&logger.mutex);
		if (written < 0) {
			/*
			 * The sink is broken. A line about that would be lost,
			 * too, so the lines are only counted.
			 */
			logger.dropped += lines;
			return true;
		}
		p += written;
		n -= (size_t)written;
	}
	return !w->abandoned;
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	char out[LOG_LINE_MAX];
	uint64_t lines;
	size_t n;
	bool abandoned = false;

	pthread_mutex_lock(&logger.mutex);
	while (!abandoned && (n = writer_take(w, out, &lines)) > 0)
		abandoned = !writer_write(w, out, n, lines);
	w->ended = true;
	pthread_cond_signal(&logger.ended);
	abandoned = w->abandoned;
	pthread_mutex_unlock(&logger.mutex);
	if (abandoned)
		free(w);
	return NULL;
}

/* Starts the thread with all signals blocked: they are the main thread's. */
static int writer_start(struct writer *w)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, writer_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		errno = error;
	return error ? -1 : 0;
}

int log_start(const struct log_options *o)
{
	struct sink sink = { o->sink, o->json, STDERR_FILENO };
	struct writer *w;

	log_stop();
	log_set_level(o->level);
	log_set_hidden(o->hidden);
	if (o->sink == LOG_JOURNAL) {
		if (logger.journal_fd < 0)
			logger.journal_fd = journal_open();
		if (logger.journal_fd < 0)
			return -1;
		sink.fd = logger.journal_fd;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	w->sink = sink;
	/* No line may go to a writer whose thread does not exist. */
	pthread_mutex_lock(&logger.mutex);
	if (writer_start(w) < 0) {
		pthread_mutex_unlock(&logger.mutex);
		free(w);
		return -1;
	}
	logger.sink = sink;
	logger.writer = w;
	pthread_mutex_unlock(&logger.mutex);
	return 0;
}

/* Waits for the writer's end, with the mutex held, until the time is up. */
static void writer_wait(const struct writer *w)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_MS / 1000;
	while (!w->ended && error == 0)
		error = pthread_cond_clockwait(
			&logger.ended, &logger.mutex, CLOCK_MONOTONIC, &until);
}

void log_stop(void)
{
	struct writer *w;
	bool ended;

	pthread_mutex_lock(&logger.mutex);
	w = logger.writer;
	if (!w) {
		pthread_mutex_unlock(&logger.mutex);
		return;
	}
	logger.writer = NULL;
	w->stopping = true;
	pthread_cond_signal(&logger.waiting);
	writer_wait(w);
	ended = w->ended;
	if (!ended) {
		/* A blocked terminal must not hold up the shutdown. */
		logger.dropped += w->lines;
		w->abandoned = true;
		pthread_detach(w->thread);
	}
	pthread_mutex_unlock(&logger.mutex);
	if (ended) {
		pthread_join(w->thread, NULL);
		free(w);
	}
}

/* --- events ---------------------------------------------------------------*/

/* Returns the bytes left when ms are over or the sink is broken. */
static size_t write_at_once(
	const struct sink *s, const char *p, size_t n, int ms)
{
	ssize_t written = 1;

	while (n > 0 && written > 0) {
		written = sink_write(s, p, n, ms);
		if (written > 0) {
			p += written;
			n -= (size_t)written;
		}
	}
	return n;
}

void log_print(const char *p, size_t n)
{
	static const struct sink sink = { LOG_STDERR, false, STDERR_FILENO };

	(void)write_at_once(&sink, p, n, PRINT_MS);
}

/* Without a writer thread: at the start, at the end, in tools. */
static void write_line(const struct sink *s, const char *p, size_t n)
{
	if (write_at_once(s, p, n, DIRECT_MS) == 0)
		return;
	pthread_mutex_lock(&logger.mutex);
	count_dropped(1);
	pthread_mutex_unlock(&logger.mutex);
}

void log_event(enum log_level level, const char *event,
	const struct log_field *fields, size_t n)
{
	struct log_record record = {
		.level = level, .event = event, .fields = fields, .n = n
	};
	char line[LOG_LINE_MAX];
	struct writer *w;
	struct sink sink;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &record.time);
	pthread_mutex_lock(&logger.mutex);
	sink = logger.sink;
	pthread_mutex_unlock(&logger.mutex);
	length = log_format(line, &record, sink.kind, sink.json);

	pthread_mutex_lock(&logger.mutex);
	w = logger.writer;
	if (w && (!ring_report_dropped(w) || !ring_add(w, line, length)))
		count_dropped(1);
	if (w)
		pthread_cond_signal(&logger.waiting);
	pthread_mutex_unlock(&logger.mutex);
	if (!w)
		write_line(&sink, line, length);
}
