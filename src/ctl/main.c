/*
 * main.c: wsrelayctl: makes keys, makes tokens, explains tokens, plays
 * recordings, and asks a running daemon.
 *
 *   main -> a row of commands[] -> key:   key.c
 *                               -> token: token.c -> mint.c, show.c
 *                               -> invite: invite.c -> mint.c, address.c, qr.c
 *                               -> play:  play.c
 *                               -> top:   top.c -> sample.c
 *        else the table of what daemons are asked: ask.c
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	enum ctl_status (*run)(const char *file, int argc, char **argv);
} commands[] = {
	{ "token", ctl_token_run },
	{ "invite", ctl_invite_run },
	{ "key", ctl_key_run },
	{ "play", ctl_play_run },
};

static const char help[] =
	"usage: wsrelayctl [-c FILE] token --path PATH [--key NAME] [--ttl "
	"TIME]\n"
	"           [--sub SUBJECT] [--perm r|w|rw|serve] [--jti auto|ID]\n"
	"           [--origin ORIGIN] [--expire-at TIME] [--url URL]\n"
	"           [--param NAME] [--private-key FILE]\n"
	"       wsrelayctl [-c FILE] invite PATH [--ttl TIME] [--sub SUBJECT]\n"
	"           [--perm r|w|rw] [--qr | --qr FILE.svg] [--url URL]\n"
	"           [--key NAME] [--private-key FILE]\n"
	"       wsrelayctl [-c FILE] token --show - [--path PATH]\n"
	"       wsrelayctl key [FILE | -]\n"
	"       wsrelayctl play [--speed X] [--loop] [--framing line|len32] "
	"FILE\n"
	"       wsrelayctl [--socket PATH | -c FILE] COMMAND [--json] "
	"[OPTION...]\n"
	"       wsrelayctl [--socket PATH | -c FILE] top [--interval SECONDS]\n"
	"       wsrelayctl -h | -V\n"
	"\n"
	"  -c FILE   where the keys are (" CTL_DEFAULT_FILE ")\n"
	"  invite    make a link that people open, for a page with auth = "
	"token\n"
	"  token     make a token, or with --url a whole wsuri\n"
	"  token --show -\n"
	"            explain one that is read from standard input\n"
	"  key       make a secret file\n"
	"  play      print a recording's messages at their times, for exec:\n"
	"  -V        print the version\n"
	"  -h        print this\n"
	"\n"
	"Commands to a running daemon (COMMAND --help says more of one):\n";

static void print_help(FILE *out)
{
	fputs(help, out);
	ctl_ask_help(out);
	fputs("  top       routes, hubs and busiest clients, live in the "
	      "terminal\n",
		out);
}

static const struct option longs[] = {
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static bool asks_for_help(const char *argument)
{
	return argument &&
	       (strcmp(argument, "-h") == 0 || strcmp(argument, "--help") == 0);
}

/* "eyJ" is how '{"' begins in base64url; two dots make it a token. */
static bool looks_like_token(const char *argument)
{
	const char *p = argument;

	while ((p = strstr(p, "eyJ"))) {
		size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789-_.");
		const char *dot = memchr(p, '.', n);

		if (dot && memchr(dot + 1, '.', n - (size_t)(dot - p) - 1))
			return true;
		p += n;
	}
	return false;
}

static enum ctl_status run_one(
	const struct ctl_global *global, int argc, char **argv)
{
	if (ctl_ask_knows(argv[0]))
		return ctl_ask_run(global, argc, argv);
	if (asks_for_help(argv[1])) {
		print_help(stdout);
		return CTL_OK;
	}
	if (strcmp(argv[0], "top") == 0)
		return ctl_top_run(global, argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return commands[i].run(global->file, argc, argv);
	ctl_complain("there is no command '%s'", argv[0]);
	print_help(stderr);
	return CTL_USAGE;
}

static enum ctl_status run(
	const struct ctl_global *global, int argc, char **argv)
{
	enum ctl_status status = run_one(global, argc, argv);

	/* A full disk must not look like a good token. */
	if (fflush(stdout) != 0 && status == CTL_OK) {
		ctl_complain("standard output: %s", strerror(errno));
		status = CTL_REFUSED;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct ctl_global global = { 0 };
	int c;

	for (int i = 1; i < argc; i++)
		if (looks_like_token(argv[i])) {
			ctl_complain(CTL_NO_ARGUMENTS);
			return CTL_USAGE;
		}
	while ((c = getopt_long(argc, argv, "+c:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			global.file = optarg;
			break;
		case 's':
			global.socket = optarg;
			break;
		case 'j':
			global.json = true;
			break;
		case 'h':
			print_help(stdout);
			return CTL_OK;
		case 'V':
			puts("wsrelayctl " VERSION);
			return CTL_OK;
		default:
			print_help(stderr);
			return CTL_USAGE;
		}
	}
	if (optind < argc)
		return (int)run(&global, argc - optind, argv + optind);
	print_help(stderr);
	return CTL_USAGE;
}
