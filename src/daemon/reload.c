/*
 * SIGHUP: keys and certificates are read again while connections live.
 *
 *   files -> conf_reread: the settings in force, what files say now
 *         -> the workers, each when it opens that letter: new connections
 *
 * Whatever is wrong in a file, the relay goes on with what it has, and takes
 * what is good: a renewed certificate must not wait for a fault elsewhere.
 */
#include "daemon/private.h"
#include "daemon/sections.h"
#include "front/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/service.h"

#define DAY_MS    (24 * INT64_C(3600) * 1000)
#define WARN_DAYS 14
#define HOUR_MS   (INT64_C(3600) * 1000)
/* Revocation lists are valid for days, many for one. */
#define CRL_WARN_HOURS 48

/* One line of the log for each complaint; level is that of the errors. */
static void log_complaints(const struct buf *errors, enum log_level level)
{
	struct str left = buf_str(errors);

	while (left.n > 0) {
		const char *end = memchr(left.p, '\n', left.n);
		struct str line = { left.p,
			end ? (size_t)(end - left.p) : left.n };
		size_t used = line.n + (end ? 1 : 0);

		LOG(conf_complaint_is_warning(line) ? LOG_WARN : level,
			"reload-complaint", F_VIEW("detail", line));
		left.p += used;
		left.n -= used;
	}
}

/* Other changes in the files are for the next start. */
static void note_other_changes(const struct daemon *d)
{
	struct buf errors = { 0 };
	struct conf *now = d->source->load(d->source->data, &errors);

	if (!now)
		log_complaints(&errors, LOG_WARN);
	else if (conf_same_settings(now, d->conf) != 1)
		LOG(LOG_WARN, "reload-settings",
			F_STR("detail",
				"other settings have changed, too: they are "
				"used from the next start on"));
	buf_free(&errors);
	conf_unref(now);
}

static void use(struct daemon *d, struct conf *conf)
{
	struct conf *before = d->conf;

	d->conf = conf;
	for (size_t i = 0; i < d->workers_n; i++)
		daemon_worker_set_conf(d->workers[i], conf);
	/* What is accepted from now on is posted behind that. */
	if (daemon_assign_listens(d, conf) < 0)
		abort(); /* the same settings have the same sections */
	conf_unref(before);
}

void daemon_reload(struct daemon *d)
{
	struct buf errors = { 0 };
	struct conf *conf;
	bool kept;

	if (d->stopping)
		return;
	service_notify_reloading();
	conf = conf_reread(d->conf, &errors, &kept);
	if (conf && sections_adopt(d->sections, conf) < 0) {
		conf_unref(conf);
		conf = NULL; /* no memory */
	}
	if (conf)
		use(d, conf);
	metrics_note_reload(&d->shared, conf && !kept);
	if (conf && !kept) {
		LOG(LOG_INFO, "reload",
			F_STR("detail",
				"keys and certificates have been read again"));
		note_other_changes(d);
	} else {
		LOG(LOG_ERROR, "reload-failed",
			F_STR("detail",
				conf ? "what is complained about stays as it "
				       "was, the rest has been read again"
				     : "keys and certificates stay as they "
				       "were"));
		log_complaints(&errors, LOG_ERROR);
	}
	if (conf)
		daemon_check_certificates(d);
	buf_free(&errors);
	service_notify("READY=1");
}

/* With a list that is out of its time every client is refused. */
static void check_crls(const struct daemon *d, int64_t now)
{
	for (size_t i = 0; i < d->conf->listens_n; i++) {
		const struct conf_listen *l = &d->conf->listens[i];
		int64_t hours = (l->client_crl_until - now) / HOUR_MS;
		bool late = l->client_crl_until <= now;

		if (!l->client_crl)
			continue;
		if (late || l->client_crl_since > now)
			LOG(LOG_ERROR,
				late ? "crl-expired" : "crl-not-yet-valid",
				F_STR("listen", l->section.name),
				F_STR("file", l->tls_client_crl),
				F_STR("detail",
					"no certificate of its authority is "
					"accepted"));
		else if (hours < CRL_WARN_HOURS)
			LOG(LOG_WARN, "crl-expires",
				F_STR("listen", l->section.name),
				F_STR("file", l->tls_client_crl),
				F_INT("hours", hours));
	}
}

void daemon_check_certificates(struct daemon *d)
{
	int64_t now = clock_unix_ms();

	check_crls(d, now);
	for (size_t i = 0; i < d->conf->certificates_n; i++) {
		const struct conf_certificate *c = &d->conf->certificates[i];
		int64_t days = (c->not_after - now) / DAY_MS;

		if (c->not_after <= now)
			LOG(LOG_ERROR, "certificate-expired",
				F_STR("certificate", c->section.name),
				F_STR("file", c->chain_file));
		else if (c->not_before > now)
			LOG(LOG_ERROR, "certificate-not-yet-valid",
				F_STR("certificate", c->section.name),
				F_STR("file", c->chain_file));
		else if (days < WARN_DAYS)
			LOG(LOG_WARN, "certificate-expires",
				F_STR("certificate", c->section.name),
				F_STR("file", c->chain_file),
				F_INT("days", days));
	}
}
