/* tap: messages as they pass, of all routes but those with tap = no. */
#include "daemon/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/tapping.h"
#include "end/tap.h"
#include "gate/client.h"

/* Of a message; what is longer is cut. */
#define KEEP (1u << 20)

/* NULL, or what is wrong. */
static const char *read_direction(
	struct tap_filter *f, const struct control_request *r)
{
	const char *text = control_text(r, "direction");

	if (!text)
		return NULL;
	if (strcmp(text, "from_client") == 0)
		f->not_from[END_BACKEND] = true;
	else if (strcmp(text, "to_client") == 0)
		f->not_from[END_CLIENT] = true;
	else
		return "direction: expected from_client or to_client";
	return NULL;
}

static const char *read_filter(
	struct tap_filter *f, const struct control_request *r)
{
	const char *client = control_text(r, "client");
	const char *match = control_text(r, "match");
	const char *why = read_direction(f, r);

	if (why)
		return why;
	if (client && client_parse_id(client, &f->client) < 0)
		return "client: expected an id of the log, such as 6d2f0a1c";
	if (match && !match[0])
		return "match: expected a text";
	if (match) {
		f->match = str_dup(str_of(match));
		f->match_n = strlen(match);
	}
	return match && !f->match ? "no memory" : NULL;
}

void command_tap(struct answer *a)
{
	struct tap_filter f = { .keep = KEEP };
	const char *why = read_filter(&f, a->request);

	if (!why) {
		tapping_begin(a, &f);
		return;
	}
	tap_filter_free(&f);
	answer_usage(a, "%s", why);
}
