/*
 * check_certificate.c: certificates, their keys, files of authorities and of
 * what these have revoked, read with the rights of the caller. A certificate that is out of its time
 * is no reason to stay down: clients say so, and the rest works.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "codec/certificate.h"
#include "codec/crl.h"
#include "conf/check.h"
#include "conf/file.h"

#define EXPIRY_WARNING_MS (INT64_C(14) * 24 * 3600 * 1000)

static struct build_at at_certificate(
	const struct conf_certificate *c, const char *key)
{
	return (struct build_at){ SECTION_CERTIFICATE, c->index, key, 0 };
}

/* --- chains and keys ------------------------------------------------------- */

static void warn_date(struct builder *b, struct build_at at, const char *file,
	const char *what, int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char date[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
		strftime(date, sizeof(date), "%Y-%m-%d", &tm) == 0)
		return;
	build_warn(b, at, "%s %s %s", file, what, date);
}

static void judge_dates(struct builder *b, const struct conf_certificate *c)
{
	struct build_at at = at_certificate(c, "chain_file");
	const char *file = c->chain_file;
	int64_t now = clock_unix_ms();

	if (c->not_after < now)
		warn_date(b, at, file, "expired on", c->not_after);
	else if (c->not_before > now)
		warn_date(b, at, file, "is not valid before", c->not_before);
	else if (c->not_after < now + EXPIRY_WARNING_MS)
		warn_date(b, at, file, "expires on", c->not_after);
}

/* -1 after a complaint. */
static int load_chain(struct builder *b, struct conf_certificate *c)
{
	struct build_at at = at_certificate(c, "chain_file");
	char why[CERTIFICATE_WHY];
	struct certificate_info info;
	struct file_bytes f;
	int result;

	if (!c->chain_file ||
		file_read(b, at, c->chain_file, CERTIFICATE_PEM_MAX, &f) < 0)
		return -1;
	c->chain = f.p;
	c->chain_n = f.n;
	result = certificate_read_chain(&info, f.p, f.n, why);
	if (result < 0) {
		build_error(b, at, "%s %s", c->chain_file, why);
	} else {
		c->not_before = info.not_before;
		c->not_after = info.not_after;
		c->not_for_servers = info.not_for_servers;
		c->not_for_clients = info.not_for_clients;
		judge_dates(b, c);
	}
	if (result == 0 && info.misplaced > 0)
		build_warn(b, at,
			"%s: certificate %zu did not sign the one before it, "
			"some clients will refuse the chain",
			c->chain_file, info.misplaced);
	certificate_info_free(&info);
	return result;
}

static int load_key(struct builder *b, struct conf_certificate *c)
{
	struct build_at at = at_certificate(c, "key_file");
	char why[CERTIFICATE_WHY];
	struct file_bytes f;

	if (!c->key_file ||
		file_read(b, at, c->key_file, CERTIFICATE_PEM_MAX, &f) < 0)
		return -1;
	c->key = f.p;
	c->key_n = f.n;
	if (f.everybody)
		build_warn(b, at, "%s can be read by everybody (chmod o-r)",
			c->key_file);
	if (certificate_check_key(f.p, f.n, why) == 0)
		return 0;
	build_error(b, at, "%s %s", c->key_file, why);
	return -1;
}

void check_certificate(struct builder *b, struct conf_certificate *c)
{
	char why[CERTIFICATE_WHY];
	int chain, key;

	if (b->for_tokens)
		return;
	chain = load_chain(b, c);
	key = load_key(b, c);
	if (chain < 0 || key < 0)
		return;
	if (certificate_check_pair(
		    &(struct certificate_pem){ c->chain, c->chain_n },
		    &(struct certificate_pem){ c->key, c->key_n }, why) < 0)
		build_error(b, at_certificate(c, "key_file"), "%s %s",
			c->key_file, why);
}

/* --- authorities ----------------------------------------------------------- */

static struct conf_ca *find_ca(const struct conf *c, const char *file)
{
	for (size_t i = 0; i < c->cas_n; i++)
		if (strcmp(c->cas[i].file, file) == 0)
			return &c->cas[i];
	return NULL;
}

/* Room for as many as there can be: pointers to them are handed out. */
static struct conf_ca *add_ca(struct builder *b, const char *file)
{
	struct conf *c = b->conf;
	struct conf_ca *ca;

	if (!c->cas)
		c->cas = calloc(
			c->listens_n + c->routes_n + 1, sizeof(*c->cas));
	if (!c->cas) {
		build_no_memory(b);
		return NULL;
	}
	ca = &c->cas[c->cas_n];
	ca->file = str_dup(str_of(file));
	if (!ca->file) {
		build_no_memory(b);
		return NULL;
	}
	ca->index = c->cas_n++;
	return ca;
}

static void load_ca(struct builder *b, struct build_at at, struct conf_ca *ca)
{
	char why[CERTIFICATE_WHY];
	struct file_bytes f;
	size_t bad = 0;

	if (file_read(b, at, ca->file, CERTIFICATE_PEM_MAX, &f) < 0)
		return;
	if (certificate_check_authorities(f.p, f.n, &bad, why) < 0) {
		build_error(b, at, "%s %s", ca->file, why);
		return;
	}
	if (bad > 0)
		build_warn(b, at,
			"%s holds %zu certificates that cannot be read and do "
			"not count",
			ca->file, bad);
	ca->pem = f.p;
	ca->pem_n = f.n;
}

const struct conf_ca *check_ca(
	struct builder *b, struct build_at at, const char *file)
{
	struct conf_ca *ca = find_ca(b->conf, file);

	if (!ca && !b->for_tokens) {
		ca = add_ca(b, file);
		if (ca)
			load_ca(b, at, ca);
	}
	/* What could not be read was said where it was named first. */
	return ca && ca->pem ? ca : NULL;
}

/* --- revocation lists ------------------------------------------------------ */

/* No certificate of its authority passes with a list that is out of its time. */
static void judge_crl_dates(
	struct builder *b, struct build_at at, const struct conf_listen *l)
{
	int64_t now = clock_unix_ms();

	if (l->client_crl_until < now)
		warn_date(b, at, l->tls_client_crl,
			"lets no client of its authority in: it expired on",
			l->client_crl_until);
	else if (l->client_crl_since > now)
		warn_date(b, at, l->tls_client_crl,
			"lets no client of its authority in: it is not valid "
			"before",
			l->client_crl_since);
}

void check_crl(struct builder *b, struct conf_listen *l, size_t index)
{
	struct build_at at = { SECTION_LISTEN, index, "tls_client_crl", 0 };
	const struct certificate_pem ca = { l->client_ca->pem,
		l->client_ca->pem_n };
	char why[PEM_WHY];
	struct crl_info info;
	struct file_bytes f;
	struct buf lists = { 0 };

	if (file_read(b, at, l->tls_client_crl, PEM_MAX, &f) < 0)
		return;
	if (crl_read(&info, &lists, f.p, f.n, &ca, why) < 0) {
		build_error(b, at, "%s %s", l->tls_client_crl, why);
		buf_free(&lists);
		return;
	}
	l->client_crl = lists.p; /* it is the listener's now */
	l->client_crl_n = lists.n;
	l->client_crl_since = info.since;
	l->client_crl_until = info.until;
	judge_crl_dates(b, at, l);
	if (info.foreign > 0)
		build_warn(b, at,
			"%s: list %zu is of none of the authorities in "
			"tls_client_ca, and revokes nothing",
			l->tls_client_crl, info.foreign);
}
