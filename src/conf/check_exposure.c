/*
 * check_exposure.c: what a file lets in, or keeps out, and its author may not
 * know. All of it is a warning: each is what some configurations mean.
 */
#include <string.h>

#include "conf/check.h"

/* Its first Unix address; NULL: it has none. */
static const struct conf_address *unix_address(const struct conf_listen *l)
{
	for (size_t i = 0; i < l->address.n; i++)
		if (l->address.v[i].kind == LISTEN_UNIX)
			return &l->address.v[i];
	return NULL;
}

/* --- the rights of sockets ------------------------------------------------- */

static void check_socket_mode(
	struct builder *b, const struct conf_listen *l, size_t index)
{
	struct build_at at = { SECTION_LISTEN, index, "socket_mode", 0 };
	const struct conf_address *a = unix_address(l);

	if (a && !build_find(b, at))
		build_warn(b, at,
			"is not set: only the user and the group of the daemon "
			"can connect to %s (write socket_mode = 0660, or 0666 "
			"for everybody)",
			a->text);
}

/* --- what can reach it ------------------------------------------------------ */

/*
 * By DNS rebinding a page of any site reaches such a listener under its own
 * name, from within the listener's network; over TLS it would have to have the
 * certificate's.
 */
static void check_hosts(
	struct builder *b, const struct conf_listen *l, size_t index)
{
	struct build_at at = { SECTION_LISTEN, index, "hosts", 0 };

	if (l->certificates.n > 0 || l->hosts.n > 0 ||
		l->role == CONF_ROLE_ADMIN)
		return;
	for (size_t i = 0; i < l->address.n; i++) {
		const struct conf_address *a = &l->address.v[i];

		if (a->kind != LISTEN_TCP || addr_is_loopback(&a->addr))
			continue;
		build_warn(b, at,
			"is not set: %s answers to any name, also to those "
			"that foreign pages point at it (name the hosts, or "
			"write hosts = * if that is meant)",
			a->text);
		return;
	}
}

static void check_programs(struct builder *b, const struct conf_route *r)
{
	if (r->auth == CONF_AUTH_NONE && r->to.kind == BACKEND_EXEC)
		build_warn(b, check_at_route(r, "auth"),
			"is none for an exec backend: everybody who reaches "
			"the listener starts programs");
}

/* --- lists that Unix peers are not in -------------------------------------- */

static bool has_unix(const struct cidr_list *l)
{
	return cidr_list_contains(l, &(struct addr){ .family = ADDR_UNIX });
}

/*
 * Whether peers of a Unix socket of this listener are refused by this list. A
 * proxy there (trusted_proxies = unix) is judged by the addresses that it
 * names.
 */
static bool shuts_out(
	const struct conf_listen *l, const struct cidr_list *allow)
{
	return unix_address(l) && allow->n > 0 && !has_unix(allow) &&
	       !has_unix(&l->trusted_proxies);
}

static void warn_shut_out(struct builder *b, struct build_at at,
	const struct conf_listen *l, const struct cidr_list *allow)
{
	at.key = "allow";
	if (shuts_out(l, allow))
		build_warn(b, at,
			"keeps out all that comes through %s of [listen %s] "
			"(add unix to let it in)",
			unix_address(l)->text, l->section.name);
}

/* A page's or a route's list, on each of its listeners. */
static void check_unix_peers(struct builder *b, struct build_at at,
	const struct conf_listens *listens, const struct cidr_list *allow)
{
	const struct conf *c = b->conf;

	for (size_t i = 0; i < listens->n; i++)
		warn_shut_out(b, at, listens->v[i], allow);
	for (size_t i = 0; listens->n == 0 && i < c->listens_n; i++)
		if (c->listens[i].role == CONF_ROLE_PUBLIC)
			warn_shut_out(b, at, &c->listens[i], allow);
}

/* --- invitations ----------------------------------------------------------- */

/* Of several keys the page takes one's invitations only, and that is not said. */
static void check_invitations(
	struct builder *b, const struct conf_page *p, size_t index)
{
	const struct conf *c = b->conf;
	size_t n = 0;

	if (p->auth == CONF_AUTH_NONE || p->keys.n > 0)
		return;
	for (size_t i = 0; i < c->keys_n; i++)
		n += c->keys[i].require_path;
	if (n > 1)
		build_warn(b,
			(struct build_at){ SECTION_PAGE, index, "keys", 0 },
			"is not set: only invitations of [key %s], the "
			"token_key, open the page (write keys = %s, or name "
			"others)",
			p->key->section.name, p->key->section.name);
}

/* --- all ------------------------------------------------------------------- */

void check_exposure(struct builder *b)
{
	const struct conf *c = b->conf;

	/* Not of a file with errors, nor where only tokens are made. */
	if (b->errors > 0 || b->for_tokens)
		return;
	for (size_t i = 0; i < c->listens_n; i++) {
		const struct conf_listen *l = &c->listens[i];

		check_socket_mode(b, l, i);
		check_hosts(b, l, i);
		warn_shut_out(b,
			(struct build_at){ SECTION_LISTEN, i, NULL, 0 }, l,
			&l->allow);
	}
	for (size_t i = 0; i < c->pages_n; i++) {
		check_unix_peers(b,
			(struct build_at){ SECTION_PAGE, i, NULL, 0 },
			&c->pages[i].listens, &c->pages[i].allow);
		check_invitations(b, &c->pages[i], i);
	}
	for (size_t i = 0; i < c->routes_n; i++) {
		check_unix_peers(b, check_at_route(&c->routes[i], NULL),
			&c->routes[i].listens, &c->routes[i].allow);
		check_programs(b, &c->routes[i]);
	}
	for (size_t i = 0; i < c->attaches_n; i++) {
		const struct conf_route *e = &c->attaches[i].entrance;

		check_unix_peers(
			b, check_at_route(e, NULL), &e->listens, &e->allow);
	}
}
