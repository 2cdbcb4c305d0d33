/* wsrelayd: arguments, start, stop: nothing else. */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fds.h"
#include "conf/conf.h"
#include "attach/attach.h"
#include "daemon/daemon.h"
#include "daemon/try.h"

#define DEFAULT_FILE "/etc/wsrelayd/wsrelayd.ini"

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: wsrelayd [-c FILE] [-t | -T]\n"
	"       wsrelayd --try COMMAND [--root DIR] [-T]\n"
	"       wsrelayd --attach WSURI [OPTION ...] -- PROGRAM [ARGUMENT "
	"...]\n"
	"       wsrelayd -V | -h\n"
	"\n"
	"  -c FILE        the configuration (" DEFAULT_FILE ")\n"
	"  -t             check it and exit: status 78 when it has a fault\n"
	"  -T             print it with every default and exit\n"
	"  --try COMMAND  put a program that reads and writes lines behind a\n"
	"                 browser; with -T print the configuration this means\n"
	"  --root DIR     with --try: serve this directory's pages\n"
	"  --attach WSURI attach a program to a relay; --attach --help says "
	"how\n"
	"  -V             print the version\n"
	"  -h             print this\n";

struct options {
	const char *file;
	struct try_params try;
	bool check, dump;
};

static const struct option long_options[] = {
	{ "try", required_argument, NULL, 'y' },
	{ "root", required_argument, NULL, 'r' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* -1: go on; else the exit status. */
static int parse_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "c:tTVh", long_options, NULL)) !=
		-1) {
		switch (c) {
		case 'c':
			o->file = optarg;
			break;
		case 't':
			o->check = true;
			break;
		case 'T':
			o->dump = true;
			break;
		case 'y':
			o->try.command = optarg;
			break;
		case 'r':
			o->try.root = optarg;
			break;
		case 'V':
			printf("wsrelayd " VERSION "\n");
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc && o->try.command) {
		fprintf(stderr,
			"wsrelayd: --try takes the whole command as one word: "
			"--try \"%s %s ...\"\n",
			o->try.command, argv[optind]);
		return EXIT_USAGE;
	}
	if (optind < argc || (o->try.root && !o->try.command)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return -1;
}

static struct conf *load_file(void *data, struct buf *errors)
{
	return conf_load(data, errors);
}

static int run(const struct daemon_source *source, const struct options *o)
{
	if (o->check || o->dump)
		return daemon_check(source, o->dump ? stdout : NULL);
	return daemon_run(source);
}

static int run_try(struct options *o)
{
	struct daemon_source source;
	struct try_setup *t;
	int status;

	o->try.keep = o->dump;
	t = try_new(&o->try);
	if (!t)
		return EXIT_FAILURE;
	try_source(t, &source);
	if (o->dump) {
		fputs(try_ini(t), stdout);
		status = EXIT_SUCCESS;
	} else {
		status = run(&source, o);
	}
	try_free(t);
	return status;
}

/* The first argument decides: what follows --attach has options of its own. */
static bool is_attach(int argc, char **argv)
{
	return argc > 1 && (strcmp(argv[1], "--attach") == 0 ||
				   strncmp(argv[1], "--attach=", 9) == 0);
}

int main(int argc, char **argv)
{
	struct options o = { .file = DEFAULT_FILE };
	int status;

	fds_open_standard();
	if (is_attach(argc, argv))
		return attach_main(argc, argv);
	status = parse_options(&o, argc, argv);
	if (status >= 0)
		return status;
	if (o.try.command)
		return run_try(&o);
	return run(&(struct daemon_source){ .load = load_file,
			   .data = (void *)(uintptr_t)o.file },
		&o);
}
