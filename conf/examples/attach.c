/*
 * A simulation that attaches itself: ./attach WSURI
 *
 * WSURI is wss://viz.example.org/attach/anna/42?token=... It says a line of
 * numbers ten times a second, and takes lines such as "speed 2" from who
 * drives. Whoever watches or not, it goes on; when the connection is lost it
 * attaches again. It needs libwebsockets 4, in Debian libwebsockets-dev:
 *
 *	cc -O2 -o attach attach.c -lwebsockets -lm
 */
#include <libwebsockets.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	struct lws *wsi; /* NULL: none, or lost */
	time_t next;     /* when it is tried again */
	int pause;       /* seconds */
	int told;        /* where we are, which comes before all else */
	int for_good;    /* no token like this one attaches there */
} relay = { .pause = 1 };

static struct lws_client_connect_info where;

static double speed = 1, phase;
static long step;
static char heard[4096]; /* a message in the making */
static size_t heard_n;

/* It may be anything: people have sent it. */
static void steer(const char *text)
{
	double value;

	if (sscanf(text, "speed %lf", &value) == 1 && fabs(value) <= 100)
		speed = value;
}

static void hear(struct lws *wsi, const char *data, size_t n)
{
	size_t room = sizeof(heard) - 1 - heard_n;

	if (lws_is_first_fragment(wsi))
		heard_n = 0;
	memcpy(heard + heard_n, data, n < room ? n : room);
	heard_n += n < room ? n : room;
	if (!lws_is_final_fragment(wsi))
		return;
	heard[heard_n] = '\0';
	if (relay.told)
		steer(heard);
	else
		printf("attached: %s\n", heard);
	relay.told = 1;
	heard_n = 0;
}

static int say(struct lws *wsi)
{
	char line[LWS_PRE + 80];
	int n = snprintf(line + LWS_PRE, 80, "%ld %.4f", step, sin(phase));

	return lws_write(wsi, (unsigned char *)line + LWS_PRE, (size_t)n,
		       LWS_WRITE_TEXT) < n
		       ? -1
		       : 0;
}

static void lost(const char *why, size_t n, int code)
{
	printf("not attached: %d %.*s\n", code, (int)n, why ? why : "");
	/* 3003: its place is another's now. */
	relay.for_good |= code == 401 || code == 403 || code == 404 ||
			  code == 3003;
}

static int happened(struct lws *wsi, enum lws_callback_reasons reason,
	void *user, void *in, size_t n)
{
	const unsigned char *close = in;

	(void)user;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		relay.told = 0;
		relay.pause = 1;
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		hear(wsi, in, n);
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return say(wsi);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		if (n >= 2)
			lost(in ? (char *)in + 2 : "", n - 2,
				close[0] << 8 | close[1]);
		break;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		lost(in, n, (int)lws_http_client_http_response(wsi));
		relay.wsi = NULL;
		break;
	case LWS_CALLBACK_CLIENT_CLOSED:
		lost("closed", 6, 0);
		relay.wsi = NULL;
		break;
	default:
		break;
	}
	return 0;
}

/* Not all at once, when the relay has been away for all of them. */
static void attach(void)
{
	relay.next = time(NULL) + 1 + rand() % relay.pause;
	if (relay.pause < 30)
		relay.pause *= 2;
	lws_client_connect_via_info(&where);
}

int main(int argc, char **argv)
{
	/* A relay that has vanished says nothing. */
	static const lws_retry_bo_t alive = { .secs_since_valid_ping = 30,
		.secs_since_valid_hangup = 60 };
	static const struct lws_protocols protocols[] = {
		{ "wsrelay.attach.v1", happened, 0, 4096, 0, NULL, 0 }, { 0 }
	};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT
	};
	const char *scheme, *host, *path;
	char target[4096], authority[300];
	int port;

	if (argc != 2 || lws_parse_uri(argv[1], &scheme, &host, &port, &path)) {
		fprintf(stderr, "usage: attach WSURI\n");
		return 2;
	}
	snprintf(target, sizeof(target), "/%s", path);
	snprintf(authority, sizeof(authority), "%s:%d", host, port);
	lws_set_log_level(LLL_ERR, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	srand((unsigned)time(NULL) ^ (unsigned)getpid());
	where = (struct lws_client_connect_info){ .address = host,
		.port = port,
		.path = target,
		.host = authority,
		.protocol = protocols[0].name,
		.ssl_connection = strcmp(scheme, "wss") == 0 ? LCCSCF_USE_SSL
							     : 0,
		.retry_and_idle_policy = &alive,
		.pwsi = &relay.wsi };
	where.context = lws_create_context(&info);
	if (!where.context)
		return 1;
	for (;;) {
		step++; /* here the simulation computes */
		phase += speed / 10;
		usleep(100000);
		if (relay.wsi && relay.told)
			lws_callback_on_writable(relay.wsi);
		else if (!relay.wsi && !relay.for_good &&
			 time(NULL) >= relay.next)
			attach();
		lws_service(where.context, -1); /* does not wait */
	}
}
