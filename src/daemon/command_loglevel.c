/* loglevel [LEVEL]: says it, or sets it until the next reload or start. */
#include "daemon/command.h"

#include "base/log.h"
#include "base/str.h"

static enum log_level level_now(void)
{
	enum log_level level = LOG_DEBUG;

	while (level > LOG_ERROR && !log_enabled(level))
		level--;
	return level;
}

void command_loglevel(struct answer *a)
{
	const char *text = control_text(a->request, "level");
	int level = text ? log_level_parse(str_of(text)) : (int)level_now();

	if (level < 0) {
		answer_usage(a, "level: expected error, warn, info or debug");
		return;
	}
	if (text && a->readonly) {
		answer_refuse(a, "this socket takes no command that changes "
				 "anything");
		return;
	}
	log_set_level((enum log_level)level);
	ANSWER_ROW(a, F_STR("level", log_level_name((enum log_level)level)));
	answer_end(a);
}
