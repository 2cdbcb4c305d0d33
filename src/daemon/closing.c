#include "daemon/closing.h"

#include <stdlib.h>

#include "codec/control.h"
#include "conf/conf.h"
#include "daemon/visit.h"
#include "end/ending.h"
#include "pair/session.h"

const char *closing_read_ids(struct closing *c, const struct control_request *r)
{
	const char *text;

	c->ids = calloc(CLOSING_IDS_MAX, sizeof(*c->ids));
	if (!c->ids)
		return "no memory";
	while ((text = control_text_at(r, "id", c->ids_n))) {
		if (c->ids_n == CLOSING_IDS_MAX)
			return "id: there are more than 1000";
		if (client_parse_id(text, &c->ids[c->ids_n++]) < 0)
			return "id: expected those of the log, such as "
			       "6d2f0a1c";
	}
	return NULL;
}

void closing_free(struct closing *c)
{
	free(c->ids);
	*c = (struct closing){ .ids = NULL };
}

bool closing_has_id(const struct closing *c, const struct session *s)
{
	for (size_t i = 0; i < c->ids_n; i++)
		if (c->ids[i] == s->client.id)
			return true;
	return false;
}

void closing_close(struct closing *c, struct visit *v, struct session *s,
	const struct ending *why)
{
	struct end *e = s->sides[END_CLIENT].end;
	char id[CLIENT_ID_TEXT], peer[ADDR_TEXT];

	VISIT_ROW(v, F_STR("id", client_id(&s->client, id)),
		F_STR("route", s->client.route->section.name),
		F_STR("subject", client_subject(&s->client)),
		F_STR("peer", addr_format(&s->client.peer, peer)));
	c->closed++;
	e->owner->cb->ended(e, why);
}
