/* What is looked at again while the daemon runs. */
#include "relay/daemon_private.h"

#include "base/clock.h"
#include "base/log.h"

#define DAY_MS    (24 * INT64_C(3600) * 1000)
#define WARN_DAYS 14

void daemon_check_certificates(struct daemon *d)
{
	int64_t now = clock_unix_ms();

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
