/*
 * config: what is in effect, with every default: the dump of wsrelayd -T, a
 * section a turn. Secrets are in files, of which only the names are said; what
 * programs get in their environment may be one, too.
 */
#include "daemon/command.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"

/* "PASSWORD=..." -> "PASSWORD=(hidden)" */
static struct str hide(struct str value, char *out, size_t size)
{
	const char *equals = value.n > 0 ? memchr(value.p, '=', value.n) : NULL;
	int n = equals ? snprintf(out, size, "%.*s=(hidden)",
				 (int)(equals - value.p), value.p)
		       : 0;

	return n > 0 && (size_t)n < size ? (struct str){ out, (size_t)n }
					 : STR("(hidden)");
}

static void add_key(struct answer *a, struct str section, struct str line)
{
	const char *equals = memchr(line.p, '=', line.n);
	size_t n = equals ? (size_t)(equals - line.p) : line.n;
	struct str key = str_trim((struct str){ line.p, n });
	struct str value = equals ? str_trim((struct str){
					    equals + 1, line.n - n - 1 })
				  : STR_NONE;
	char hidden[256];

	if (value.n > 0 && str_eq(key, STR("exec_env")))
		value = hide(value, hidden, sizeof(hidden));
	ANSWER_ROW(a, F_VIEW("section", section), F_VIEW("key", key),
		F_VIEW("value", value));
}

/* [section], then lines of key = value. */
static void add_section(struct answer *a, struct str text)
{
	struct str section = str_cut(&text, '\n');

	if (section.n >= 2) {
		section.p++;
		section.n -= 2;
	}
	while (text.n > 0)
		add_key(a, section, str_cut(&text, '\n'));
}

static void more(struct answer *a)
{
	struct answer_place *p = a->state;

	for (;;) {
		struct buf text = { 0 };
		int r;

		if (!answer_goes_on(a)) {
			answer_continue(a);
			return;
		}
		r = conf_dump_section(&text, p->conf, p->next++);
		if (r > 0)
			add_section(a, buf_str(&text));
		buf_free(&text);
		if (r > 0)
			continue;
		if (r < 0)
			answer_refuse(a, "no memory");
		else
			answer_end(a);
		return;
	}
}

void command_config(struct answer *a)
{
	answer_of_conf(a, more);
}
