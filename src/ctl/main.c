/*
 * main.c: wsrelayctl: makes keys, makes tokens, explains tokens.
 *
 *   main -> a row of commands[] -> key:   key.c
 *                               -> token: token.c -> mint.c, show.c
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
	{ "key", ctl_key_run },
};

static const char help[] =
	"usage: wsrelayctl [-c FILE] token --path PATH [--key NAME] [--ttl "
	"TIME]\n"
	"           [--sub SUBJECT] [--perm r|w|rw] [--jti auto|ID]\n"
	"           [--origin ORIGIN] [--expire-at TIME] [--url URL]\n"
	"           [--param NAME] [--private-key FILE]\n"
	"       wsrelayctl [-c FILE] token --show - [--path PATH]\n"
	"       wsrelayctl key [FILE | -]\n"
	"       wsrelayctl -h | -V\n"
	"\n"
	"  -c FILE   where the keys are (" CTL_DEFAULT_FILE ")\n"
	"  token     make a token, or with --url a whole wsuri\n"
	"  token --show -\n"
	"            explain one that is read from standard input\n"
	"  key       make a secret file\n"
	"  -V        print the version\n"
	"  -h        print this\n";

static const struct option longs[] = {
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
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

int main(int argc, char **argv)
{
	const char *file = NULL;
	int c;

	for (int i = 1; i < argc; i++)
		if (looks_like_token(argv[i])) {
			ctl_complain(CTL_NO_ARGUMENTS);
			return CTL_USAGE;
		}
	while ((c = getopt_long(argc, argv, "+c:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return CTL_OK;
		case 'V':
			puts("wsrelayctl " VERSION);
			return CTL_OK;
		default:
			fputs(help, stderr);
			return CTL_USAGE;
		}
	}
	if (optind < argc && asks_for_help(argv[optind + 1])) {
		fputs(help, stdout);
		return CTL_OK;
	}
	for (size_t i = 0; optind < argc && i < ARRAY_SIZE(commands); i++)
		if (strcmp(argv[optind], commands[i].name) == 0) {
			enum ctl_status status = commands[i].run(
				file, argc - optind, argv + optind);

			/* A full disk must not look like a good token. */
			if (fflush(stdout) != 0 && status == CTL_OK) {
				ctl_complain(
					"standard output: %s", strerror(errno));
				status = CTL_REFUSED;
			}
			return (int)status;
		}
	fputs(help, stderr);
	return CTL_USAGE;
}
