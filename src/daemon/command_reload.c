/* reload: the configuration is read anew, or what that would change is told. */
#include "daemon/command.h"

#include "conf/diff.h"
#include "daemon/private.h"

static void tell_change(
	void *arg, const struct diff_change *c, int64_t connections)
{
	ANSWER_ROW(arg, F_STR("section", keys_section_get(c->section)->name),
		F_STR("name", c->name),
		F_STR("change", diff_kind_word(c->kind)),
		F_STR("keys", c->keys),
		connections >= 0 ? F_INT("connections", connections) : F_NONE,
		c->at_start ? F_STR("applies", "at the next start") : F_NONE);
}

static void tell_complaint(void *arg, struct str line)
{
	ANSWER_ROW(arg, F_VIEW("complaint", line));
}

void command_reload(struct answer *a)
{
	struct reload_told told = { tell_change, tell_complaint, a };

	if (daemon_reload(
		    a->daemon, control_flag(a->request, "dry-run"), &told) == 0)
		answer_end(a);
	else
		answer_refuse(a, "the configuration is bad: no setting has "
				 "changed");
}
