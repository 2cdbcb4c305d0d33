/*
 * gate_support.h: what all workers share, made of a configuration, and clients
 * that come to it. A test opens a gate, lets clients come, ask and leave, and
 * closes it: then no connection may be counted any more.
 */
#ifndef TESTS_GATE_SUPPORT_H
#define TESTS_GATE_SUPPORT_H

#include "conf_support.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "codec/pattern.h"
#include "codec/token/jwt.h"
#include "no_memory.h"
#include "base/detail.h"
#include "worker/worker.h"
#include "gate/admission.h"
#include "gate/client.h"
#include "gate/gate.h"
#include "gate/request.h"
#include "gate/revocations.h"
#include "gate/verified.h"
#include "daemon/sections.h"

/* As many as a test may make behind it. */
#define GATE_WORKERS 2

struct gate {
	struct conf *conf;
	struct sections *sections;
	struct shared shared;
	struct detail detail; /* of the last refusal */
	bool secure;          /* requests come over TLS */
	unsigned fail_at; /* the gate's n-th allocation fails; 0: none does */
	bool failed;      /* whether it did */
};

#define expect_reason(is, wanted)                                              \
	assert_string_equal(                                                   \
		reason_get(is)->word, reason_get(REASON_##wanted)->word)

/* Takes the configuration. */
static inline void gate_open(struct gate *g, struct conf *conf)
{
	*g = (struct gate){ .conf = conf };
	g->shared.max_connections = (size_t)conf->server.max_connections;
	g->sections = sections_new(GATE_WORKERS);
	assert_non_null(g->sections);
	assert_int_equal(sections_adopt(g->sections, conf), 0);
	g->shared.records = sections_records(g->sections);
	g->shared.admission = admission_new();
	g->shared.verified = verified_new();
	g->shared.revocations = revocations_new();
	assert_non_null(g->shared.revocations);
	assert_non_null(g->shared.admission);
	assert_non_null(g->shared.verified);
}

static inline void gate_close(struct gate *g)
{
	assert_int_equal(atomic_load(&g->shared.connections), 0);
	admission_free(g->shared.admission);
	verified_free(g->shared.verified);
	revocations_free(g->shared.revocations);
	conf_unref(g->conf);
	sections_free(g->sections);
}

static inline struct addr addr_of(const char *text)
{
	struct addr a = { .family = ADDR_UNIX };

	if (strcmp(text, "unix") != 0)
		assert_int_equal(addr_parse(&a, str_of(text)), 0);
	return a;
}

/* A connection from this address, which nothing has counted yet. */
static inline struct client client_from(struct gate *g, const char *address)
{
	return (struct client){ .id = 1,
		.conf = conf_ref(g->conf),
		.listen = &g->conf->listens[0],
		.peer = addr_of(address) };
}

static inline void client_leaves(struct gate *g, struct client *c)
{
	admission_leave(&g->shared, c);
	client_free(c);
}

static inline const struct conf_key *key_of(struct gate *g, const char *name)
{
	const struct conf_key *key = conf_find_key(g->conf, str_of(name));

	assert_non_null(key);
	return key;
}

/* Claims of a token that opens path for the next minute. */
static inline struct jwt_claims claims_for(const char *path)
{
	int64_t now = clock_unix_ms();

	return (struct jwt_claims){ .path = path,
		.iat_ms = now,
		.exp_ms = now + 60000,
		.expire_at_ms = JWT_NEVER };
}

/* A token, which the caller frees or gives to client_asks_with. */
static inline char *mint_by(
	struct gate *g, const char *key, struct jwt_claims claims)
{
	struct buf out = { 0 };

	assert_int_equal(jwt_mint(&out, &key_of(g, key)->jwt, &claims), 0);
	return take_text(&out);
}

static inline char *mint(struct gate *g, struct jwt_claims claims)
{
	return mint_by(g, "lab", claims);
}

static inline char *mint_for(struct gate *g, const char *path)
{
	return mint(g, claims_for(path));
}

/* The head of an upgrade; fields are further lines with CRLF behind each. */
static inline char *upgrade_of(const char *target, const char *fields)
{
	struct buf head = { 0 };

	assert_int_equal(
		buf_add_printf(&head,
			"GET %s HTTP/1.1\r\nHost: relay.example\r\n"
			"Upgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Version: 13\r\n"
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			"%s\r\n",
			target, fields),
		0);
	return take_text(&head);
}

/* As the front does: the route that the request names, and what it says. */
static inline enum reason client_asks(struct gate *g, struct client *c,
	const char *target, const char *fields)
{
	struct request_source from = { .listen = c->listen,
		.address = c->listen->address.v,
		.peer = &c->peer,
		.secure = g->secure };
	char *head = upgrade_of(target, fields);
	struct captures captures;
	struct request r;
	enum reason reason;
	const char *why;

	reason = request_parse(&r, head, strlen(head), &from, &why);
	expect_reason(reason, NONE);
	c->route = gate_find_route(c->conf, c->listen, &r, &captures);
	reason = REASON_NOT_FOUND;
	no_memory_at(g->fail_at);
	if (c->route)
		reason = gate_pass(
			GATE_ROUTE, &(struct gate_check){ .shared = &g->shared,
					    .request = &r,
					    .client = c,
					    .detail = &g->detail });
	g->failed = no_memory_was();
	if (reason != REASON_NONE)
		admission_give_back(&g->shared, c);
	request_free(&r);
	free(head);
	return reason;
}

/* The same with a token behind the target, which is freed. */
static inline enum reason client_asks_with(
	struct gate *g, struct client *c, const char *path, char *token)
{
	struct buf target = { 0 };
	enum reason reason;
	char *text;

	assert_int_equal(
		buf_add_printf(&target, "%s?token=%s", path, token), 0);
	free(token);
	text = take_text(&target);
	reason = client_asks(g, c, text, "");
	free(text);
	return reason;
}

/* A client that comes, asks and goes. */
static inline enum reason asked_from(struct gate *g, const char *address,
	const char *target, const char *fields)
{
	struct client c = client_from(g, address);
	enum reason reason = client_asks(g, &c, target, fields);

	client_leaves(g, &c);
	return reason;
}

#endif
