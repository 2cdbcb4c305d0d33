/* Certificates and revocation lists that are, or will soon be, out of time. */
#include "daemon/private.h"

#include "base/clock.h"
#include "base/log.h"

#define DAY_MS    (24 * INT64_C(3600) * 1000)
#define WARN_DAYS 14
#define HOUR_MS   (INT64_C(3600) * 1000)
/* Revocation lists are valid for days, many for one. */
#define CRL_WARN_HOURS 48

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
