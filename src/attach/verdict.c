/*
 * A refusal has "word: text" as its body, a close frame as its text; the word is
 * of the table of reasons. What did not come so far has no word of the relay's:
 * it may be that of a proxy, or of the network.
 */
#include "attach/verdict.h"

#include <stdio.h>

#include "backend/backend.h"
#include "end/ending.h"

/* The reason that the words begin with; REASON_NONE: none of ours. */
static enum reason reason_of(struct str words)
{
	struct str word = str_cut(&words, ':');

	return reason_find(word);
}

static void set_advice(struct verdict *v, struct str words)
{
	enum reason r = reason_of(words);

	v->advice = r == REASON_NONE
			    ? REASON_LATER
			    : (enum reason_advice)reason_get(r)->advice;
}

static const char *words_of(enum reason r)
{
	static const struct {
		enum reason reason;
		const char *words;
	} table[] = {
		{ REASON_BACKEND_REFUSED, "the relay cannot be reached" },
		{ REASON_BACKEND_RESOLVE, "the relay's name has no address" },
		{ REASON_BACKEND_TIMEOUT, "the relay does not answer" },
		{ REASON_BACKEND_HANDSHAKE, "what answers there is no relay" },
		{ REASON_BACKEND_TLS, "no TLS with the relay" },
		{ REASON_BACKEND_CERTIFICATE,
			"the relay's certificate is not good" },
		{ REASON_BACKEND_RESET, "the connection to the relay broke" },
		{ REASON_BACKEND_PROTOCOL,
			"what came is not as WebSocket has it" },
		{ REASON_PING_TIMEOUT, "the relay does not answer a ping" },
		{ REASON_BACKEND_TOKEN, "no token" },
		{ REASON_INTERNAL, "memory or descriptors are out" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].reason == r)
			return table[i].words;
	return reason_get(r)->text;
}

static void set_words(struct verdict *v, enum reason r, const char *detail)
{
	char room[SAY_MAX];

	v->advice = r == REASON_BACKEND_TOKEN ? REASON_TOKEN : REASON_LATER;
	if (detail)
		snprintf(v->text, sizeof(v->text), "%s: %.500s", words_of(r),
			say_clean(room, str_of(detail)));
	else
		snprintf(v->text, sizeof(v->text), "%s", words_of(r));
}

/* Of a body that is a page of HTML nothing is shown. */
static void set_status(struct verdict *v, const struct backend_result *r)
{
	char room[SAY_MAX];
	bool ours = reason_of(r->body) != REASON_NONE;

	set_advice(v, r->body);
	if (ours)
		snprintf(v->text, sizeof(v->text),
			"the relay refuses: %.500s (HTTP %d)",
			say_clean(room, r->body), r->status);
	else
		snprintf(v->text, sizeof(v->text),
			"what answers there refuses: HTTP %d", r->status);
}

void verdict_of_attempt(struct verdict *v, const struct backend_result *r)
{
	if (r->outcome.reason == REASON_BACKEND_STATUS)
		set_status(v, r);
	else
		set_words(v, r->outcome.reason, r->outcome.detail);
}

void verdict_of_end(struct verdict *v, const struct ending *why)
{
	char room[SAY_MAX];

	if (why->reason != REASON_BACKEND_CLOSE) {
		set_words(v, why->reason, why->detail);
		return;
	}
	set_advice(v, why->text);
	if (why->text.n > 0)
		snprintf(v->text, sizeof(v->text),
			"the relay closed: %.500s (%u)",
			say_clean(room, why->text), why->code);
	else
		snprintf(v->text, sizeof(v->text), "the relay closed (%u)",
			why->code);
}
