/*
 * play.c: wsrelayctl play: a recording (codec/recording.h) -> its messages at
 * their times, as a program behind exec: writes them.
 *
 *   file -> buf -> an item -> wait for its time -> framing -> standard output
 *
 * As such a program it is told nothing that it needs: what clients send is read
 * and dropped, so that none is held up, and where that ends, so does this.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "codec/recording.h"
#include "codec/ws.h"

#define READ_SIZE ((size_t)64 * 1024)
#define SPEED_MIN 0.001
#define SPEED_MAX 1000.0
/* Of a round, with --loop: one without length would take all of a processor. */
#define ROUND_MIN_US 10000

struct play {
	const char *name; /* of the file */
	int fd;
	bool loop, watched; /* the end of standard input is ours */
	bool line;          /* the framing; else len32 */
	bool chosen;        /* it was said, by --framing or the relay */
	double speed;
	/* of this round */
	struct recording reader;
	struct buf in;
	size_t used;      /* of in */
	uint64_t offset;  /* of in, in the file */
	int64_t begin_us; /* by the clock that only goes on */
	uint64_t messages;
};

/* What an item, or the end of the file, makes of a round. */
enum round { ROUND_GOES_ON, ROUND_OVER, ROUND_STOPS, ROUND_FAILS };

static enum round fail(const struct play *p, const char *why)
{
	ctl_complain("%s: at byte %" PRIu64 ": %s", p->name,
		p->offset + p->used, why);
	return ROUND_FAILS;
}

/* --- time -----------------------------------------------------------------*/

/* What clients send is dropped. False: they are gone. */
static bool read_input(void)
{
	char bytes[4096];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Sleeps until that time of the recording. False: its reader has left. */
static bool wait_until(const struct play *p, int64_t at_us)
{
	int64_t due = p->begin_us + (int64_t)((double)at_us / p->speed);
	struct pollfd input = { .fd = p->watched ? STDIN_FILENO : -1,
		.events = POLLIN };

	for (;;) {
		int64_t left = due - clock_monotonic_us();
		struct timespec ts = { .tv_sec = left / 1000000,
			.tv_nsec = left % 1000000 * 1000 };
		int n;

		if (left < 0)
			ts = (struct timespec){ 0 };
		n = ppoll(&input, 1, &ts, NULL);
		if (n > 0 && !read_input())
			return false;
		if (left <= 0)
			return true;
	}
}

/* --- messages -------------------------------------------------------------*/

/* A line may hold a CR, and one at its end needs another in front of the LF. */
static enum round write_line(
	const struct play *p, const struct recording_item *i)
{
	bool cr = i->n > 0 && i->data[i->n - 1] == '\r';

	if (i->kind == RECORDING_BINARY)
		return fail(p, "a binary message, where only text can be "
			       "carried: framing = len32 of the route does");
	if (i->n > 0 && memchr(i->data, '\n', (size_t)i->n))
		return fail(p, "a line feed inside a message: framing = len32 "
			       "of the route carries it");
	fwrite(i->data, 1, (size_t)i->n, stdout);
	fputs(cr ? "\r\n" : "\n", stdout);
	return ROUND_GOES_ON;
}

static enum round write_len32(
	const struct play *p, const struct recording_item *i)
{
	const struct framing_message m = {
		.opcode = i->kind == RECORDING_TEXT ? WS_TEXT : WS_BINARY,
		.data = i->data,
		.n = (size_t)i->n
	};
	uint8_t head[FRAMING_HEAD_MAX], tail[FRAMING_TAIL_MAX];
	size_t head_n, tail_n;
	int error = framing_get(FRAMING_LEN32)
			    ->encode(&m, head, &head_n, tail, &tail_n);

	if (error)
		return fail(p, framing_strerror(error));
	fwrite(head, 1, head_n, stdout);
	fwrite(m.data, 1, m.n, stdout);
	fwrite(tail, 1, tail_n, stdout);
	return ROUND_GOES_ON;
}

static enum round write_message(struct play *p, const struct recording_item *i)
{
	enum round round;

	if (!wait_until(p, i->at_us))
		return ROUND_STOPS;
	round = p->line ? write_line(p, i) : write_len32(p, i);
	if (round != ROUND_GOES_ON)
		return round;
	p->messages++;
	if (fflush(stdout) == 0)
		return round;
	ctl_complain("standard output: %s", strerror(errno));
	return ROUND_FAILS;
}

static enum round take_item(struct play *p, const struct recording_item *i)
{
	switch (i->kind) {
	case RECORDING_HEAD:
		if (!p->chosen)
			p->line = i->framing == FRAMING_LINE;
		return ROUND_GOES_ON;
	case RECORDING_TEXT:
	case RECORDING_BINARY:
		return write_message(p, i);
	case RECORDING_DROPPED:
	case RECORDING_END:
		return ROUND_GOES_ON;
	}
	return ROUND_FAILS;
}

/* --- the file -------------------------------------------------------------*/

/* OVER: its end. */
static enum round read_more(struct play *p)
{
	char bytes[READ_SIZE];
	ssize_t n;

	buf_drop(&p->in, p->used);
	p->offset += p->used;
	p->used = 0;
	do
		n = read(p->fd, bytes, sizeof(bytes));
	while (n < 0 && errno == EINTR);
	if (n < 0 || buf_add(&p->in, bytes, (size_t)n,
			     RECORDING_ITEM_MAX + READ_SIZE) < 0)
		return fail(p, n < 0 ? strerror(errno) : "no memory");
	if (n > 0)
		return ROUND_GOES_ON;
	if (!p->reader.headed)
		return fail(p, "this is no recording of wsrelayd: it ends");
	return p->in.n > 0 ? fail(p, "it ends in the middle of this")
			   : ROUND_OVER;
}

static enum round next(struct play *p)
{
	struct recording_item item;
	const char *why;
	enum round round;
	ssize_t used = 0;

	if (p->used < p->in.n)
		used = recording_read(&p->reader, p->in.p + p->used,
			p->in.n - p->used, &item, &why);
	if (used < 0)
		return fail(p, why);
	if (used == 0)
		return read_more(p);
	round = take_item(p, &item);
	p->used += (size_t)used;
	return round;
}

static enum round play_round(struct play *p)
{
	enum round round;

	p->reader = (struct recording){ .headed = false };
	p->in.n = p->used = 0;
	p->offset = p->messages = 0;
	do
		round = next(p);
	while (round == ROUND_GOES_ON);
	return round;
}

/* The next one begins where this one ends. */
static enum round again(struct play *p)
{
	int64_t length = p->reader.at_us;

	if (p->messages == 0)
		return fail(p, "it has no message");
	if ((double)length / p->speed < ROUND_MIN_US)
		length = (int64_t)(ROUND_MIN_US * p->speed);
	if (!wait_until(p, length))
		return ROUND_STOPS;
	p->begin_us += (int64_t)((double)length / p->speed);
	if (lseek(p->fd, 0, SEEK_SET) == 0)
		return ROUND_GOES_ON;
	return fail(p, strerror(errno));
}

static enum ctl_status play(struct play *p)
{
	enum round round;

	p->begin_us = clock_monotonic_us();
	do {
		round = play_round(p);
		if (round == ROUND_OVER && p->loop)
			round = again(p);
	} while (round == ROUND_GOES_ON);
	buf_free(&p->in);
	return round == ROUND_FAILS ? CTL_REFUSED : CTL_OK;
}

/* --- arguments ------------------------------------------------------------*/

static int read_framing(struct play *p, const char *text)
{
	p->line = strcmp(text, "line") == 0;
	p->chosen = p->line || strcmp(text, "len32") == 0;
	return p->chosen ? 0 : -1;
}

static int read_speed(struct play *p, const char *text)
{
	char *end;

	p->speed = strtod(text, &end);
	return end != text && !*end && p->speed >= SPEED_MIN &&
			       p->speed <= SPEED_MAX
		       ? 0
		       : -1;
}

static int take_option(struct play *p, int c)
{
	if (c == 'l') {
		p->loop = true;
		return 0;
	}
	if (c == 'f' && read_framing(p, optarg) < 0) {
		ctl_complain("--framing: expected line or len32");
		return -1;
	}
	if (c == 's' && read_speed(p, optarg) < 0) {
		ctl_complain("--speed: expected a number, 0.001 to 1000");
		return -1;
	}
	return c == 'f' || c == 's' ? 0 : -1;
}

static int read_options(struct play *p, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "framing", required_argument, NULL, 'f' },
		{ "loop", no_argument, NULL, 'l' },
		{ "speed", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0; /* a new scan, with glibc */
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (take_option(p, c) < 0)
			return -1;
	if (argc - optind == 1) {
		p->name = argv[optind];
		return 0;
	}
	ctl_complain("play: expected one file, or - for standard input");
	return -1;
}

/* Where a backend's clients are: a pipe or a socket, and no file or terminal. */
static bool is_line_of_clients(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 &&
	       (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* -1: it complained. */
static int open_file(struct play *p)
{
	bool standard = strcmp(p->name, "-") == 0;

	p->fd = standard ? STDIN_FILENO : open(p->name, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0) {
		ctl_complain("%s: %s", p->name, strerror(errno));
		return -1;
	}
	p->watched = !standard && is_line_of_clients(STDIN_FILENO);
	if (!p->loop || lseek(p->fd, 0, SEEK_CUR) >= 0)
		return 0;
	ctl_complain("%s: --loop needs a file that can be read again", p->name);
	if (!standard)
		close(p->fd);
	return -1;
}

enum ctl_status ctl_play_run(const char *file, int argc, char **argv)
{
	struct play p = { .speed = 1, .fd = -1 };
	const char *framing = getenv("WSRELAY_FRAMING");
	enum ctl_status status;

	(void)file;
	if (framing && read_framing(&p, framing) < 0) {
		ctl_complain("WSRELAY_FRAMING: expected line or len32: a "
			     "recording has messages");
		return CTL_USAGE;
	}
	if (read_options(&p, argc, argv) < 0)
		return CTL_USAGE;
	if (open_file(&p) < 0)
		return CTL_REFUSED;
	status = play(&p);
	if (p.fd != STDIN_FILENO)
		close(p.fd);
	return status;
}
