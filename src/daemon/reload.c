/*
 * SIGHUP, and the command reload: the configuration is read anew while
 * connections live.
 *
 *   files -> a snapshot -> what changes? -> new listeners are bound
 *         -> sections get their states -> the main thread's part
 *         -> each worker, by letter: what lives goes on under it
 *
 * A bad configuration changes no setting. Keys and certificates are read again
 * all the same, for a renewed one must not wait for a fault elsewhere: of these
 * the relay takes what is good, and keeps what it has of the rest.
 */
#include "daemon/private.h"
#include "daemon/sections.h"
#include "front/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/diff.h"
#include "daemon/daemon.h"
#include "daemon/programs.h"
#include "daemon/service.h"
#include "daemon/tapping.h"
#include "worker/section.h"

/* --- what is told ---------------------------------------------------------*/

static void tell_complaints(
	const struct buf *errors, const struct reload_told *told)
{
	struct str left = buf_str(errors);

	while (left.n > 0) {
		struct str line = str_cut(&left, '\n');

		LOG(conf_complaint_is_warning(line) ? LOG_WARN : LOG_ERROR,
			"reload-complaint", F_VIEW("detail", line));
		if (told)
			told->complaint(told->arg, line);
	}
}

struct changes {
	const struct conf *before;
	const struct reload_told *told; /* may be NULL */
	bool dry_run;
	int64_t n;
};

/* That the change touches: those of its route. -1: of no route. */
static int64_t connections_of(
	const struct changes *x, const struct diff_change *c)
{
	if (c->section != SECTION_ROUTE || c->before == SIZE_MAX)
		return -1;
	return atomic_load_explicit(
		&x->before->routes[c->before].state->connections,
		memory_order_relaxed);
}

static void tell_change(void *arg, const struct diff_change *c)
{
	struct changes *x = arg;
	int64_t connections = connections_of(x, c);

	x->n++;
	if (x->told)
		x->told->change(x->told->arg, c, connections);
	LOG(c->at_start ? LOG_WARN : LOG_INFO,
		x->dry_run ? "reload-would-change" : "reload-change",
		F_STR("section", keys_section_get(c->section)->name),
		F_STR("name", c->name[0] ? c->name : NULL),
		F_STR("change", diff_kind_word(c->kind)),
		F_STR("keys", c->keys),
		connections >= 0 ? F_INT("connections", connections) : F_NONE,
		F_STR("detail",
			c->at_start ? "of these keys one or more are used from "
				      "the next start on"
				    : NULL));
}

/* --- what is done ---------------------------------------------------------*/

/* What the process has one of. */
static void use_server(struct daemon *d, const struct conf_server *s)
{
	log_set_level((enum log_level)s->log_level);
	log_set_json(s->log_format == CONF_LOG_JSON);
	log_set_hidden(s->log_hidden);
	budget_set_limit(&d->shared.budget, (size_t)s->max_memory);
}

/*
 * A route that an earlier file took away comes back as if it were new: clients
 * come in, even where something of it has lived on, paused.
 */
static void open_added(const struct conf *before, const struct conf *conf)
{
	for (size_t i = 0; i < conf->routes_n; i++)
		if (!conf_same_route(before, &conf->routes[i]))
			route_state_open(conf->routes[i].state);
}

/* It is bound and adopted, and the daemon's from now on. */
static void use(struct daemon *d, struct conf *conf)
{
	struct conf *before = d->conf;

	open_added(before, conf);
	daemon_assign_listens(d, conf);
	for (size_t i = 0; i < d->workers_n; i++)
		daemon_worker_set_conf(d->workers[i], conf);
	use_server(d, &conf->server);
	tappings_renew(d);
	daemon_limit_connections(d);
	conf_unref(before);
	/* What these accept is posted behind the configuration. */
	if (daemon_listen(d) < 0)
		LOG(LOG_ERROR, "listen-failed", F_STR("detail", "no memory"));
	daemon_check_certificates(d);
}

/* The settings in force, and what the files that they name hold now. */
static void reread_files(struct daemon *d)
{
	struct buf errors = { 0 };
	bool kept;
	struct conf *conf = conf_reread(d->conf, &errors, &kept);

	/* It has the same addresses: nothing new is bound. */
	if (conf && (daemon_bind(d, conf, &errors) < 0 ||
			    sections_adopt(d->sections, conf) < 0)) {
		conf_unref(conf);
		conf = NULL;
	}
	if (conf)
		use(d, conf);
	LOG(conf && !kept ? LOG_INFO : LOG_ERROR, "reload-files",
		F_STR("detail",
			!conf  ? "keys and certificates stay as they were"
			: kept ? "keys and certificates have been read again, "
				 "but for those of sections with a fault"
			       : "keys and certificates have been read again"));
	buf_free(&errors); /* the configuration's complaints have them, too */
}

/* What can fail of using it. -1: errors says why, or a line of its own. */
static int prepare(
	struct daemon *d, struct conf *conf, bool dry_run, struct buf *errors)
{
	if (daemon_bind(d, conf, errors) < 0)
		return -1;
	if (!dry_run && programs_prepare(&d->shared, conf) != 0)
		goto fail;
	if (sections_adopt(d->sections, conf) == 0)
		return 0;
	LOG(LOG_ERROR, "reload-complaint", F_STR("detail", "no memory"));
fail:
	daemon_unbind(d);
	return -1;
}

static int reload(
	struct daemon *d, bool dry_run, const struct reload_told *told)
{
	struct buf errors = { 0 };
	struct conf *conf = d->source->load(d->source->data, &errors);
	struct changes x = {
		.before = d->conf, .told = told, .dry_run = dry_run
	};

	if (conf && prepare(d, conf, dry_run, &errors) < 0) {
		conf_unref(conf);
		conf = NULL;
	}
	if (conf && diff_each(d->conf, conf, tell_change, &x) < 0)
		LOG(LOG_WARN, "reload-change", F_STR("detail", "no memory"));
	if (!conf)
		LOG(LOG_ERROR, "reload-failed",
			F_STR("detail", "the settings stay as they were"));
	tell_complaints(&errors, told);
	buf_free(&errors);
	if (conf && dry_run) {
		daemon_unbind(d);
		conf_unref(conf);
	} else if (conf) {
		use(d, conf);
		LOG(LOG_INFO, "reload", F_INT("changes", x.n));
	} else if (!dry_run) {
		reread_files(d);
	}
	return conf ? 0 : -1;
}

int daemon_reload(
	struct daemon *d, bool dry_run, const struct reload_told *told)
{
	int result;

	if (d->stop != STOP_NOT)
		return -1;
	if (!dry_run)
		service_notify_reloading();
	result = reload(d, dry_run, told);
	if (!dry_run) {
		metrics_note_reload(&d->shared, result == 0);
		service_notify("READY=1");
	}
	return result;
}
