#include "attach/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/utf8.h"
#include "codec/ws.h"
#include "net/listener.h"
#include "net/loop.h"
#include "attach/options.h"
#include "attach/paths.h"
#include "attach/place.h"
#include "attach/program.h"
#include "attach/say.h"
#include "attach/setup.h"
#include "attach/source.h"
#include "attach/tee.h"
#include "attach/uplink.h"

struct attach {
	struct attach_options options;
	struct loop *loop;
	struct place place;
	struct place_proxy proxy;
	char *token_file; /* NULL: the token is in the place */
	char *ca;         /* NULL: the system's */
	struct setup setup;
	bool has_relay;        /* setup is good */
	struct uplink *uplink; /* NULL: none, or it is over */
	struct source source;  /* the program's streams, or its connection */
	struct tee tee;
	struct program program;
	bool runs;    /* the program was started, and has not ended */
	bool stopped; /* we were told to go, and there is no program */
	int status;   /* to exit with */
	struct listener *listener; /* --listen */
	int next_fd;               /* a program that waits for its turn; -1 */
};

/* --- the relay ------------------------------------------------------------*/

static void look_for_end(struct attach *a);
static void next_program(struct attach *a);

/* Whether the program's output is read. */
static void update_flow(struct attach *a)
{
	bool block = a->options.slow == ATTACH_SLOW_BLOCK && a->uplink &&
		     uplink_is_full(a->uplink) &&
		     (a->runs || a->options.listen);

	source_set_reading(&a->source, !a->tee.waits && !block);
}

static void from_relay(void *owner, uint8_t opcode, uint8_t *p, size_t n)
{
	struct attach *a = owner;

	source_send(&a->source, opcode, p, n);
}

static void relay_has_room(void *owner)
{
	update_flow(owner);
}

static void relay_over(void *owner)
{
	struct attach *a = owner;

	uplink_free(a->uplink);
	a->uplink = NULL;
	update_flow(a);
	if (a->options.listen)
		next_program(a);
	look_for_end(a);
}

static const struct uplink_cb uplink_cb = {
	.input = from_relay,
	.room = relay_has_room,
	.over = relay_over,
};

static void begin_uplink(struct attach *a)
{
	if (!a->has_relay)
		return;
	a->uplink = uplink_new(&(struct uplink_params){ .setup = &a->setup,
		.place = &a->place,
		.proxy = &a->proxy,
		.has_token_file = a->token_file != NULL,
		.cb = &uplink_cb,
		.owner = a });
	if (!a->uplink)
		say("no memory; the run goes on without the relay");
}

/* --- the program's side ---------------------------------------------------*/

static void from_program(void *owner, const uint8_t *p, size_t n)
{
	struct attach *a = owner;

	if (a->options.quiet || a->options.listen)
		return;
	/* Its reader is gone: the program is to meet that, as without us. */
	if (tee_write(&a->tee, p, n) < 0) {
		source_close(&a->source);
		look_for_end(a);
		return;
	}
	if (a->tee.waits)
		update_flow(a);
}

static void message(void *owner, uint8_t opcode, uint8_t *p, size_t n)
{
	struct attach *a = owner;

	if (!a->uplink)
		return;
	if (opcode == WS_TEXT && !utf8_valid(p, n))
		uplink_count_not_text(a->uplink);
	else
		uplink_send(a->uplink, opcode, p, n);
	if (a->options.slow == ATTACH_SLOW_BLOCK)
		update_flow(a);
}

static void too_long(void *owner)
{
	struct attach *a = owner;

	if (a->uplink)
		uplink_count_too_long(a->uplink);
}

/* A program that connected to us has ended, when it has closed in order. */
static void output_ended(void *owner, int error)
{
	struct attach *a = owner;

	source_close(&a->source);
	if (a->options.listen && a->uplink)
		uplink_end(
			a->uplink, error ? WS_CODE_GOING_AWAY : WS_CODE_NORMAL);
	else if (a->options.listen)
		next_program(a);
	look_for_end(a);
}

static const struct source_cb source_cb = {
	.bytes = from_program,
	.message = message,
	.too_long = too_long,
	.ended = output_ended,
};

static void tee_drained(struct tee *t)
{
	struct attach *a = CONTAINER_OF(t, struct attach, tee);

	update_flow(a);
	look_for_end(a);
}

/* --- the end --------------------------------------------------------------*/

/* All is over when the program, its output, and what came of that are. */
static void look_for_end(struct attach *a)
{
	if (a->stopped && a->options.listen) {
		if (a->uplink)
			uplink_end(a->uplink, WS_CODE_GOING_AWAY);
		else
			loop_stop(a->loop);
		return;
	}
	if (a->options.listen || a->runs || a->tee.waits ||
		(a->source.conn && !a->stopped))
		return;
	if (a->uplink)
		uplink_end(a->uplink, WS_CODE_NORMAL);
	else
		loop_stop(a->loop);
}

static void program_exited(void *owner, int status)
{
	struct attach *a = owner;

	a->runs = false;
	a->status = status;
	update_flow(a);
	look_for_end(a);
}

/* There is no program that a signal could be for. */
static void told_to_stop(void *owner)
{
	struct attach *a = owner;

	if (a->stopped) /* for the second time: at once */
		loop_stop(a->loop);
	a->stopped = true;
	look_for_end(a);
}

static const struct program_cb program_cb = {
	.exited = program_exited,
	.stop = told_to_stop,
};

/* --- a program that connects to us ----------------------------------------*/

static void take_program(struct attach *a, int fd)
{
	if (source_open(&a->source, a->loop, fd, fd, a->options.framing) < 0) {
		say("no memory for the program's connection");
		return;
	}
	source_set_owner(&a->source, &source_cb, a);
	begin_uplink(a);
	update_flow(a);
}

static void next_program(struct attach *a)
{
	int fd = a->next_fd;

	if (fd < 0 || a->source.conn || a->uplink || a->stopped)
		return;
	a->next_fd = -1;
	take_program(a, fd);
}

/* One at a time; one more may wait, for a program that comes back at once. */
static void accepted(void *owner, int fd, const struct addr *peer)
{
	struct attach *a = owner;

	(void)peer;
	if (a->next_fd >= 0 || a->stopped) {
		close(fd);
		return;
	}
	a->next_fd = fd;
	next_program(a);
}

static void paused(void *owner, int error)
{
	(void)owner;
	say("--listen: %s", strerror(error));
}

static const struct listener_cb listener_cb = {
	.accepted = accepted,
	.paused = paused,
};

static int start_listening(struct attach *a)
{
	int fd = listener_bind_unix(a->options.listen, 0600);

	if (fd < 0) {
		say("--listen unix:%s: %s", a->options.listen, strerror(errno));
		return EXIT_FAILURE;
	}
	a->listener = listener_new(a->loop, fd, &listener_cb, a);
	return a->listener ? 0 : EXIT_FAILURE;
}

/* --- the start ------------------------------------------------------------*/

static int start_program(struct attach *a)
{
	char *const *argv = a->options.argv;
	int out, in, status;

	/*
	 * Python keeps back what it prints into a pipe, and those who watch would
	 * see it in lumps.
	 */
	(void)setenv("PYTHONUNBUFFERED", "1", 0);
	status = program_start(&a->program, argv, &out, &in);
	if (status) {
		say("%s: %s", argv[0], strerror(errno));
		return status;
	}
	a->runs = true;
	if (source_open(&a->source, a->loop, out, in, a->options.framing) < 0)
		return EXIT_FAILURE;
	source_set_owner(&a->source, &source_cb, a);
	return 0;
}

static const char *const slow_words[][2] = {
	/* of text, of binary messages */
	[ATTACH_SLOW_AUTO] = { "drop-old", "latest" },
	[ATTACH_SLOW_LATEST] = { "latest", "latest" },
	[ATTACH_SLOW_DROP_OLD] = { "drop-old", "drop-old" },
	[ATTACH_SLOW_BLOCK] = { "drop-old", "drop-old" },
};

#define QUEUE_LIMIT (16u << 20)

/* -1: it has said why there is no relay. */
static int find_relay(struct attach *a)
{
	const struct attach_options *o = &a->options;
	const char *why;

	if (place_parse(&a->place, o->uri, &why) < 0) {
		say("--attach: %s", why);
		return -1;
	}
	if (place_find_proxy(&a->proxy, &a->place, &why) < 0) {
		say("%s: %s", a->place.tls ? "https_proxy" : "http_proxy", why);
		return -1;
	}
	if (o->token_file)
		a->token_file = paths_absolute(o->token_file);
	else if (!a->place.has_token)
		a->token_file = paths_of_token();
	if (!a->token_file && !a->place.has_token) {
		say("there is no token: --token-file, or HOME is not set");
		return -1;
	}
	if (o->ca)
		a->ca = paths_absolute(o->ca);
	/* A message that is under way fits, where none may give way. */
	return setup_open(&a->setup, a->loop,
		&(struct setup_params){ .place = &a->place,
			.ca = a->ca,
			.token_file = a->token_file,
			.slow_text = slow_words[o->slow][0],
			.slow_binary = slow_words[o->slow][1],
			.queue_limit = o->slow == ATTACH_SLOW_BLOCK
					       ? QUEUE_LIMIT + SOURCE_LONGEST
					       : QUEUE_LIMIT });
}

/* The program first: the relay is looked for while it runs. */
static int start(struct attach *a)
{
	int status = 0;

	setup_init(&a->setup);
	if (program_init(&a->program, &program_cb, a) < 0)
		return EXIT_FAILURE;
	a->loop = loop_new(&a->setup.shared.budget);
	if (!a->loop)
		return EXIT_FAILURE;
	if (!a->options.listen)
		status = start_program(a);
	if (status)
		return status;
	if (tee_open(&a->tee, a->loop, tee_drained) < 0 ||
		program_watch(&a->program, a->loop) < 0)
		return EXIT_FAILURE;
	a->has_relay = find_relay(a) == 0;
	if (!a->has_relay && a->options.listen)
		return EXIT_FAILURE;
	if (!a->has_relay)
		say("the run goes on without the relay");
	if (a->options.listen)
		return start_listening(a);
	begin_uplink(a);
	update_flow(a);
	return 0;
}

static void finish(struct attach *a)
{
	uplink_free(a->uplink);
	source_close(&a->source);
	if (a->listener) {
		listener_free(a->listener);
		(void)unlink(a->options.listen);
	}
	if (a->next_fd >= 0)
		close(a->next_fd);
	if (a->loop) {
		loop_run_deferred(a->loop);
		tee_close(&a->tee);
	}
	setup_free(&a->setup);
	program_fini(&a->program);
	if (a->loop)
		loop_free(a->loop);
	place_free(&a->place);
	place_proxy_free(&a->proxy);
	free(a->token_file);
	free(a->ca);
}

int attach_main(int argc, char **argv)
{
	struct attach a = { .next_fd = -1 };
	int status = attach_parse_options(&a.options, argc, argv);

	if (status >= 0)
		return status;
	a.status = EXIT_SUCCESS;
	status = start(&a);
	if (status == 0)
		status = loop_run(a.loop) == 0 ? a.status : EXIT_FAILURE;
	finish(&a);
	return status;
}
