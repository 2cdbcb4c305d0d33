/*
 * explain.c: wsrelayctl -c FILE explain: what a daemon with this file would
 * answer. The same lines as those of one that runs (daemon/command_explain.c),
 * without what only such a one knows.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"
#include "codec/control.h"
#include "conf/conf.h"
#include "explain/explain.h"
#include "ctl/ctl.h"
#include "ctl/rows.h"

struct out {
	struct rows *rows; /* NULL: as JSON */
	bool no_memory;
};

static void write_line(struct out *o, const struct log_field *fields, size_t n)
{
	struct buf text = { 0 };

	if (json_add_line(&text, fields, n) < 0)
		o->no_memory = true;
	else if (!o->rows)
		fwrite(text.p, 1, text.n, stdout);
	else if (rows_add(o->rows,
			 json_loadb((const char *)text.p, text.n, 0, NULL)) < 0)
		o->no_memory = true;
	buf_free(&text);
}

static void tell(void *arg, const struct explain_line *line)
{
	const struct log_field fields[] = { F_STR("step", line->step),
		F_STR("says", line->says), F_STR("name", line->name),
		F_STR("detail", line->detail) };

	write_line(arg, fields, ARRAY_SIZE(fields));
}

static enum ctl_status end(struct out *o, const char *status, const char *error)
{
	const struct log_field fields[] = { F_STR("status", status),
		F_STR("error", error) };

	if (o->rows)
		rows_flush(o->rows);
	else
		write_line(o, fields, ARRAY_SIZE(fields));
	if (!error)
		return CTL_OK;
	ctl_complain("%s", error);
	return strcmp(status, CONTROL_USAGE) == 0 ? CTL_USAGE : CTL_REFUSED;
}

static enum ctl_status ask(
	struct out *o, struct conf *conf, const struct control_request *r)
{
	struct explain_question q = { .conf = conf,
		.listen = explain_find_listen(
			conf, control_text(r, "listen")) };
	enum explain_result result;
	const char *why;

	if (!q.listen)
		return end(o, CONTROL_USAGE, EXPLAIN_NO_LISTENER);
	q.address = q.listen->address.v;
	explain_read(&q, r);
	result = explain(&q, tell, o, &why);
	if (o->no_memory)
		result = EXPLAIN_NO_MEMORY;
	switch (result) {
	case EXPLAIN_LET_IN:
		break;
	case EXPLAIN_REFUSED:
		return end(o, CONTROL_REFUSED, EXPLAIN_IS_REFUSED);
	case EXPLAIN_USAGE:
		return end(o, CONTROL_USAGE, why);
	case EXPLAIN_NO_MEMORY:
		return end(o, CONTROL_REFUSED, "no memory");
	}
	return end(o, CONTROL_OK, NULL);
}

enum ctl_status ctl_explain_file(const char *file, json_t *request, bool json)
{
	struct control_request r = { .object = request };
	struct out o = { .rows = json ? NULL : rows_new(ROWS_TABLE) };
	enum ctl_status status = CTL_REFUSED;
	struct buf errors = { 0 };
	struct conf *conf = conf_load_for_tokens(file, &errors);

	fwrite(errors.p ? (char *)errors.p : "", 1, errors.n, stderr);
	buf_free(&errors);
	if (!json && !o.rows)
		ctl_complain("no memory");
	else if (conf)
		status = ask(&o, conf, &r);
	rows_free(o.rows);
	conf_unref(conf);
	return status;
}
