#include "attach/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: wsrelayd --attach WSURI [OPTION ...] -- PROGRAM [ARGUMENT "
	"...]\n"
	"       wsrelayd --attach WSURI [OPTION ...] --listen unix:PATH\n"
	"\n"
	"  --attach WSURI      the place: "
	"wss://viz.example.org/attach/anna/42\n"
	"  --token-file FILE   with the token (~/.config/wsrelay/token)\n"
	"  --ca FILE           authorities for wss, in place of the system's\n"
	"  --framing line | len32\n"
	"                      what a message is in the program's output "
	"(line)\n"
	"  --slow latest | drop-old | block\n"
	"                      when the relay does not keep up: the newest "
	"only, 16\n"
	"                      MiB of the newest, or the program waits (text:\n"
	"                      drop-old, binary: latest)\n"
	"  --quiet             the program's output is not printed\n"
	"  --listen unix:PATH  the program connects to this socket, and is "
	"not\n"
	"                      started\n"
	"  --version, --help\n";

static const struct option long_options[] = {
	{ "attach", required_argument, NULL, 'a' },
	{ "token-file", required_argument, NULL, 't' },
	{ "ca", required_argument, NULL, 'c' },
	{ "framing", required_argument, NULL, 'f' },
	{ "slow", required_argument, NULL, 's' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "listen", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct word {
	const char *word;
	int value;
};

static const struct word framings[] = {
	{ "line", FRAMING_LINE },
	{ "len32", FRAMING_LEN32 },
	{ NULL, 0 },
};

static const struct word slows[] = {
	{ "latest", ATTACH_SLOW_LATEST },
	{ "drop-old", ATTACH_SLOW_DROP_OLD },
	{ "block", ATTACH_SLOW_BLOCK },
	{ NULL, 0 },
};

/* -1: it is none of them. */
static int find(const struct word *table, const char *option, const char *text)
{
	for (const struct word *w = table; w->word; w++)
		if (strcmp(w->word, text) == 0)
			return w->value;
	fprintf(stderr, "wsrelayd: %s: there is no '%s', expected", option,
		text);
	for (const struct word *w = table; w->word; w++)
		fprintf(stderr, " %s", w->word);
	fprintf(stderr, "\n");
	return -1;
}

/* -1 and a complaint. */
static int take_listen(struct attach_options *o, const char *text)
{
	if (strncmp(text, "unix:/", 6) != 0 &&
		strncmp(text, "unix:.", 6) != 0) {
		fprintf(stderr,
			"wsrelayd: --listen: expected unix:/PATH or "
			"unix:./PATH, "
			"not '%s'\n",
			text);
		return -1;
	}
	o->listen = text + 5;
	return 0;
}

/* -1: go on; else the exit status. */
static int take_option(struct attach_options *o, int c)
{
	int value = 0;

	switch (c) {
	case 'a':
		o->uri = optarg;
		/* An empty $WSURI in a script: the run goes on without. */
		if (optarg[0] == '-') {
			o->uri = "";
			optind--;
		}
		break;
	case 't':
		o->token_file = optarg;
		break;
	case 'c':
		o->ca = optarg;
		break;
	case 'f':
		value = find(framings, "--framing", optarg);
		o->framing = (enum framing_id)value;
		break;
	case 's':
		value = find(slows, "--slow", optarg);
		o->slow = (enum attach_slow)value;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'l':
		value = take_listen(o, optarg);
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
	return value < 0 ? EXIT_USAGE : -1;
}

int attach_parse_options(struct attach_options *o, int argc, char **argv)
{
	int c, status;

	*o = (struct attach_options){ .framing = FRAMING_LINE };
	/* '+': what is behind the program's name is the program's. */
	while ((c = getopt_long(argc, argv, "+h", long_options, NULL)) != -1) {
		status = take_option(o, c);
		if (status >= 0)
			return status;
	}
	if (optind < argc)
		o->argv = argv + optind;
	if (!o->uri || (o->argv == NULL) == (o->listen == NULL)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return -1;
}
