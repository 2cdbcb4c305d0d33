#include "worker/credentials.h"

#include <stdlib.h>

#include "conf/conf.h"
#include "worker/section.h"

/* A section's; the owner is its state, which outlives snapshots. */
struct credential {
	const void *owner;
	struct tls_context *context; /* NULL: no TLS; many routes share one */
};

struct credentials {
	size_t listens_n, routes_n;
	struct credential *listens, *routes; /* in the snapshot's order */
};

static struct tls_identity identity_of(const struct conf_certificate *c)
{
	return (struct tls_identity){ .chain = { c->chain, c->chain_n },
		.key = { c->key, c->key_n } };
}

static struct tls_pem pem_of(const struct conf_ca *ca)
{
	return ca ? (struct tls_pem){ ca->pem, ca->pem_n }
		  : (struct tls_pem){ 0 };
}

static struct tls_context *listen_context(
	const struct conf_listen *l, char text[TLS_TEXT])
{
	static const enum tls_ask asks[] = {
		[CONF_TLS_CLIENT_NONE] = TLS_ASK_NONE,
		[CONF_TLS_CLIENT_OPTIONAL] = TLS_ASK_OPTIONAL,
		[CONF_TLS_CLIENT_REQUIRED] = TLS_ASK_REQUIRED
	};
	const struct conf_certificates *c = &l->use_certificates;
	struct tls_identity *v = calloc(c->n, sizeof(*v));
	struct tls_context *x = NULL;

	text[0] = '\0';
	if (!v)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		v[i] = identity_of(c->v[i]);
	x = tls_server_new(
		&(struct tls_server_params){ .identities = v,
			.identities_n = c->n,
			.only_1_3 = l->tls_min == CONF_TLS_1_3,
			.ask = asks[l->tls_client],
			.client_ca = pem_of(l->client_ca),
			.client_crl = { l->client_crl, l->client_crl_n },
			.tickets = l->state->tickets },
		text);
	free(v);
	return x;
}

/* Whether the ways to two backends are the same, as far as TLS goes. */
static bool same_way(const struct conf_route *a, const struct conf_route *b)
{
	return a->to.tls && b->to.tls && a->to.kind == b->to.kind &&
	       a->ca == b->ca && a->backend_verify == b->backend_verify &&
	       a->use_backend_certificate == b->use_backend_certificate;
}

static struct tls_context *route_context(const struct credentials *x,
	const struct conf *conf, const struct conf_route *r,
	char text[TLS_TEXT])
{
	struct tls_identity own;

	for (size_t i = 0; i < r->index; i++)
		if (same_way(&conf->routes[i], r))
			return tls_context_ref(x->routes[i].context);
	if (r->use_backend_certificate)
		own = identity_of(r->use_backend_certificate);
	return tls_client_new(
		&(struct tls_client_params){ .verify = r->backend_verify,
			.ca = pem_of(r->ca),
			.identity = r->use_backend_certificate ? &own : NULL,
			.http = r->to.kind == BACKEND_WS },
		text);
}

struct credentials *credentials_new(
	const struct conf *conf, char text[TLS_TEXT])
{
	struct credentials *x = calloc(1, sizeof(*x));

	text[0] = '\0';
	if (!x)
		return NULL;
	x->listens = calloc(conf->listens_n + 1, sizeof(*x->listens));
	x->routes = calloc(conf->routes_n + 1, sizeof(*x->routes));
	if (!x->listens || !x->routes)
		goto fail;
	for (size_t i = 0; i < conf->listens_n; i++) {
		const struct conf_listen *l = &conf->listens[i];

		x->listens[x->listens_n++].owner = l->state;
		if (l->use_certificates.n == 0)
			continue;
		x->listens[i].context = listen_context(l, text);
		if (!x->listens[i].context)
			goto fail;
	}
	for (size_t i = 0; i < conf->routes_n; i++) {
		x->routes[x->routes_n++].owner = conf->routes[i].state;
		if (!conf->routes[i].to.tls)
			continue;
		x->routes[i].context = route_context(
			x, conf, &conf->routes[i], text);
		if (!x->routes[i].context)
			goto fail;
	}
	return x;
fail:
	credentials_free(x);
	return NULL;
}

void credentials_free(struct credentials *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->listens_n; i++)
		tls_context_unref(x->listens[i].context);
	for (size_t i = 0; i < x->routes_n; i++)
		tls_context_unref(x->routes[i].context);
	free(x->listens);
	free(x->routes);
	free(x);
}

static struct tls_context *context_of(
	const struct credential *v, size_t n, const void *owner)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].owner == owner)
			return v[i].context;
	return NULL;
}

struct tls_context *credentials_of_listen(
	const struct credentials *x, const struct conf_listen *listen)
{
	return context_of(x->listens, x->listens_n, listen->state);
}

struct tls_context *credentials_of_route(
	const struct credentials *x, const struct conf_route *route)
{
	return context_of(x->routes, x->routes_n, route->state);
}
