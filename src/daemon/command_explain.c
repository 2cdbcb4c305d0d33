/* explain: what a request would be answered now, and why. */
#include "daemon/command.h"

#include <string.h>

#include "daemon/private.h"
#include "explain/explain.h"

/* Where it is bound: of a socket that was handed over only that is known. */
static const struct conf_address *address_of(
	const struct daemon *d, const struct conf_listen *l)
{
	const struct bound *b;

	TAILQ_FOREACH (b, &d->bound, next)
		if (b->listen == l)
			return b->address;
	return l->address.v;
}

static void tell(void *arg, const struct explain_line *line)
{
	ANSWER_ROW(arg, F_STR("step", line->step), F_STR("says", line->says),
		F_STR("name", line->name), F_STR("detail", line->detail));
}

void command_explain(struct answer *a)
{
	struct daemon *d = a->daemon;
	const char *listen = control_text(a->request, "listen");
	struct explain_question q = { .conf = d->conf,
		.shared = &d->shared,
		.now_ms = loop_now(d->loop),
		.listen = explain_find_listen(d->conf, listen) };
	const char *why;

	if (!q.listen) {
		answer_usage(a, EXPLAIN_NO_LISTENER);
		return;
	}
	q.address = address_of(d, q.listen);
	explain_read(&q, a->request);
	switch (explain(&q, tell, a, &why)) {
	case EXPLAIN_LET_IN:
		answer_end(a);
		break;
	case EXPLAIN_REFUSED:
		answer_refuse(a, EXPLAIN_IS_REFUSED);
		break;
	case EXPLAIN_USAGE:
		answer_usage(a, "%s", why);
		break;
	case EXPLAIN_NO_MEMORY:
		answer_refuse(a, "no memory");
		break;
	}
}
