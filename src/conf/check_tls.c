/*
 * check_tls.c: whether the keys about TLS mean something together, of a
 * listener and of a route. One that would be ignored is an error: who wrote
 * it counts on it.
 */
#include <unistd.h>

#include "base/mbedtls.h"
#include "conf/check.h"
#include "conf/value.h"

/* --- listeners ------------------------------------------------------------- */

static struct build_at at_listen(size_t index, const char *key)
{
	return (struct build_at){ SECTION_LISTEN, index, key, 0 };
}

static void resolve_certificates(
	struct builder *b, struct conf_listen *l, size_t index)
{
	struct build_at at = at_listen(index, "certificates");
	struct conf_certificates *out = &l->use_certificates;

	for (; at.element < l->certificates.n; at.element++) {
		const char *name = l->certificates.v[at.element];
		const struct conf_certificate *c = conf_find_certificate(
			b->conf, str_of(name));
		const struct conf_certificate **v;

		if (!c) {
			build_error(b, at,
				"there is no [certificate %s], expected names "
				"of certificates",
				name);
			continue;
		}
		if (c->not_for_servers)
			build_error(b, at,
				"[certificate %s] is not for servers, expected "
				"one whose extendedKeyUsage has serverAuth",
				name);
		v = value_grow(out->v, out->n, sizeof(*v));
		if (!v) {
			build_no_memory(b);
			return;
		}
		out->v = v;
		v[out->n++] = c;
	}
}

/* Without certificates the listener has no TLS. */
static void check_plain(
	struct builder *b, const struct conf_listen *l, size_t index)
{
	const struct {
		bool wrong;
		const char *key;
	} rules[] = {
		{ l->tls_min != CONF_TLS_1_2, "tls_min" },
		{ l->tls_client != CONF_TLS_CLIENT_NONE, "tls_client" },
		{ l->tls_client_ca != NULL, "tls_client_ca" },
		{ l->tls_client_crl != NULL, "tls_client_crl" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].wrong)
			build_error(b, at_listen(index, rules[i].key),
				"means nothing without TLS, expected "
				"certificates beside it");
}

static void check_clients(
	struct builder *b, struct conf_listen *l, size_t index)
{
	struct build_at at = at_listen(index, "tls_client_ca");
	bool none = l->tls_client == CONF_TLS_CLIENT_NONE;

	if (build_is_bad(b, at_listen(index, "tls_client")) ||
		build_is_bad(b, at))
		return;
	if (none && l->tls_client_ca)
		build_error(b, at,
			"means nothing with tls_client = none, expected "
			"optional or required");
	else if (!none && !l->tls_client_ca)
		build_error(b, at,
			"is missing, expected a file of authorities, because "
			"tls_client is %s",
			l->tls_client == CONF_TLS_CLIENT_OPTIONAL ? "optional"
								  : "required");
	else if (!none)
		l->client_ca = check_ca(b, at, l->tls_client_ca);
	if (none && l->tls_client_crl)
		build_error(b, at_listen(index, "tls_client_crl"),
			"means nothing with tls_client = none, expected "
			"optional or required");
	else if (l->client_ca && l->tls_client_crl)
		check_crl(b, l, index);
}

void check_tls_listen(struct builder *b, struct conf_listen *l, size_t index)
{
	resolve_certificates(b, l, index);
	if (l->certificates.n == 0) {
		if (!build_is_bad(b, at_listen(index, "certificates")))
			check_plain(b, l, index);
		return;
	}
	if (l->tls_min == CONF_TLS_1_3 && !MBED_HAS_TLS_1_3)
		build_error(b, at_listen(index, "tls_min"),
			"1.3 is not in this program's %s, expected 1.2",
			MBEDTLS_VERSION_STRING_FULL);
	check_clients(b, l, index);
}

/* --- routes ---------------------------------------------------------------- */

/* Listeners that do not exist are a complaint of their own. */
static bool has_listen(const struct conf_route *r, const struct conf_listen *l)
{
	for (size_t i = 0; i < r->listens.n; i++)
		if (r->listens.v[i] == l)
			return true;
	return r->listen.n == 0;
}

/* A listener that asks for no certificate would be a way around the list. */
static void check_subjects(struct builder *b, const struct conf_route *r)
{
	const struct conf *c = b->conf;

	if (r->client_subjects.n == 0)
		return;
	for (size_t i = 0; i < c->listens_n; i++) {
		const struct conf_listen *l = &c->listens[i];

		if (!has_listen(r, l) ||
			l->tls_client != CONF_TLS_CLIENT_NONE ||
			build_is_bad(b, at_listen(i, "tls_client")))
			continue;
		build_error(b, check_at_route(r, "client_subjects"),
			"needs certificates of clients, expected tls_client = "
			"optional or required in [listen %s]",
			l->section.name);
	}
}

static void resolve_certificate(struct builder *b, struct conf_route *r)
{
	r->use_backend_certificate = conf_find_certificate(
		b->conf, str_of(r->backend_certificate));
	if (!r->use_backend_certificate)
		build_error(b, check_at_route(r, "backend_certificate"),
			"there is no [certificate %s], expected the name of a "
			"certificate",
			r->backend_certificate);
	else if (r->use_backend_certificate->not_for_clients)
		build_warn(b, check_at_route(r, "backend_certificate"),
			"[certificate %s] is not for clients, many backends "
			"will refuse it (its extendedKeyUsage has no "
			"clientAuth)",
			r->backend_certificate);
}

const char *conf_system_ca(void)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch, Gentoo */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* RHEL, Fedora */
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/ca-bundle.pem", /* SUSE */
		"/etc/ssl/cert.pem",      /* Alpine */
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return places[0];
}

static void check_backend_tls(struct builder *b, struct conf_route *r)
{
	struct build_at at = check_at_route(r, "backend_ca");

	if (!r->backend_verify)
		build_warn(b, check_at_route(r, "backend_verify"),
			"is no: anybody on the way to the backend can read and "
			"change what passes%s",
			r->backend_ca ? ", and backend_ca does not count" : "");
	else if (!build_is_bad(b, at))
		r->ca = check_ca(b, at,
			r->backend_ca ? r->backend_ca : conf_system_ca());
}

void check_tls_route(struct builder *b, struct conf_route *r)
{
	check_subjects(b, r);
	if (r->backend_certificate)
		resolve_certificate(b, r);
	if (r->to.tls)
		check_backend_tls(b, r);
}
