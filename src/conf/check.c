/*
 * check.c: the order of the checks, references between sections, and what
 * every section needs.
 *
 *   required keys -> names become pointers -> each section -> never matched
 *
 * A check does not stop at the first fault, and does not speak of what
 * follows from another one: a key whose value was refused is not missing.
 */
#include "conf/check.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "conf/value.h"

/* --- references ------------------------------------------------------------ */

static const struct conf_listen *find_listen(
	const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->listens_n; i++)
		if (str_eq(name, str_of(c->listens[i].section.name)))
			return &c->listens[i];
	return NULL;
}

/* In the order of the list, less the names that do not exist. */
static void resolve_listens(struct builder *b, struct build_at at,
	const struct conf_strings *names, struct conf_listens *out)
{
	for (at.element = 0; at.element < names->n; at.element++) {
		const char *name = names->v[at.element];
		const struct conf_listen *l = find_listen(
			b->conf, str_of(name));
		const struct conf_listen **v;

		if (!l) {
			build_error(b, at,
				"there is no [listen %s], expected "
				"names of listeners",
				name);
			continue;
		}
		if (l->role == CONF_ROLE_ADMIN) {
			build_error(b, at,
				"[listen %s] has role = admin, and so neither "
				"pages nor routes, expected public ones",
				name);
			continue;
		}
		v = value_grow(out->v, out->n, sizeof(*v));
		if (!v) {
			build_no_memory(b);
			return;
		}
		out->v = v;
		v[out->n++] = l;
	}
}

static int add_key(
	struct builder *b, struct conf_keys *out, const struct conf_key *k)
{
	const struct conf_key **v = value_grow(out->v, out->n, sizeof(*v));

	if (!v) {
		build_no_memory(b);
		return -1;
	}
	out->v = v;
	v[out->n++] = k;
	return 0;
}

static void add_all_keys(struct builder *b, struct conf_keys *out)
{
	for (size_t i = 0; i < b->conf->keys_n; i++)
		if (add_key(b, out, &b->conf->keys[i]) < 0)
			return;
}

static void add_named_keys(struct builder *b, struct build_at at,
	const struct conf_strings *names, struct conf_keys *out)
{
	for (at.element = 0; at.element < names->n; at.element++) {
		const char *name = names->v[at.element];
		const struct conf_key *k = conf_find_key(b->conf, str_of(name));

		if (!k)
			build_error(b, at,
				"there is no [key %s], expected "
				"names of keys",
				name);
		else if (add_key(b, out, k) < 0)
			return;
	}
}

/* Named keys, or all. */
static void resolve_keys(struct builder *b, struct conf_route *r)
{
	struct build_at at = check_at_route(r, "keys");

	add_named_keys(b, at, &r->keys, &r->use_keys);
	if (r->keys.n == 0 && !build_is_bad(b, at))
		add_all_keys(b, &r->use_keys);
}

/* A key that is added later must not let simulations in: none, or named. */
static void resolve_attach_keys(struct builder *b, struct conf_attach *a)
{
	struct build_at at = check_at_route(&a->entrance, "keys");

	add_named_keys(b, at, &a->keys, &a->entrance.use_keys);
	if (a->keys.n > 0 || build_is_bad(b, at))
		return;
	if (b->conf->keys_n > 1)
		build_error(b, at,
			"is missing, expected names of keys, because there are "
			"%zu",
			b->conf->keys_n);
	else
		add_all_keys(b, &a->entrance.use_keys);
}

/* The only key that can sign needs no naming. */
static const struct conf_key *only_signer(const struct conf *c)
{
	const struct conf_key *only = NULL;

	for (size_t i = 0; i < c->keys_n; i++) {
		if (c->keys[i].algorithm != JWT_HS256)
			continue;
		if (only)
			return NULL;
		only = &c->keys[i];
	}
	return only;
}

static void resolve_page_key(
	struct builder *b, struct conf_page *p, size_t index)
{
	struct build_at at = { SECTION_PAGE, index, "token_key", 0 };

	p->key = p->token_key ? conf_find_key(b->conf, str_of(p->token_key))
			      : only_signer(b->conf);
	/* Only where it may have to say whose invitation opened the page. */
	if (p->key && p->template && p->auth == CONF_AUTH_TOKEN)
		b->conf->keys[p->key - b->conf->keys].mints = true;
	if (!p->token_key)
		return;
	if (!p->key) {
		build_error(b, at,
			"there is no [key %s], expected the name of a key",
			p->token_key);
	} else if (p->key->algorithm != JWT_HS256) {
		build_error(b, at,
			"[key %s] can only verify, expected one with a "
			"secret_file",
			p->token_key);
		p->key = NULL;
	}
}

/*
 * A key that is added later must not change whose invitations open a page:
 * those of the key that it mints with, of the only key, or of those named.
 */
static void resolve_page_keys(
	struct builder *b, struct conf_page *p, size_t index)
{
	struct build_at at = { SECTION_PAGE, index, "keys", 0 };
	const struct conf *c = b->conf;
	const struct conf_key *only = NULL;
	size_t n = 0;

	add_named_keys(b, at, &p->keys, &p->use_keys);
	if (p->auth == CONF_AUTH_NONE || p->keys.n > 0 || build_is_bad(b, at))
		return;
	for (size_t i = 0; i < c->keys_n; i++)
		if (c->keys[i].require_path) {
			only = &c->keys[i];
			n++;
		}
	if (p->token_key)
		only = p->key;
	else if (n > 1)
		build_error(b, at,
			"is missing, expected names of keys, because there are "
			"%zu whose invitations it could take, and no token_key",
			n);
	if (!only)
		return; /* which is a complaint of its own */
	if (only->require_path)
		(void)add_key(b, &p->use_keys, only);
	else if (n > 0)
		build_error(b, at,
			"is missing, expected names of keys, because [key %s], "
			"the token_key, has require_path = no",
			only->section.name);
}

/* --- what any section needs ------------------------------------------------ */

static size_t first_sentence(const char *text)
{
	const char *end = strstr(text, ". ");

	return end ? (size_t)(end - text) : strlen(text) - 1;
}

/*
 * A section is useless without these; their defaults are empty, or were
 * overwritten with nothing.
 */
static void check_required(struct builder *b, enum keys_section s, size_t index)
{
	size_t n;
	const struct key_row *row = keys_rows(s, &n);
	const void *object = build_object(b->conf, s, index);

	for (; n > 0; n--, row++) {
		struct build_at at = { s, index, row->name, 0 };

		if (!(row->flags & KEY_REQUIRED) || build_is_bad(b, at) ||
			!value_is_empty(row, object))
			continue;
		/* the help's first sentence, without its full stop */
		build_error(b, at, "is %s, expected a value: %.*s",
			build_find(b, at) ? "empty" : "missing",
			(int)first_sentence(row->help), row->help);
	}
}

/* By one network; several that cover c only together are not looked for. */
static bool covers_all(const struct cidr_list *deny, const struct cidr *c)
{
	for (size_t i = 0; i < deny->n; i++)
		if (cidr_covers(&deny->v[i], c))
			return true;
	return false;
}

void check_access(struct builder *b, struct build_at at,
	const struct cidr_list *allow, const struct cidr_list *deny)
{
	const struct cidr all4 = { .net.family = ADDR_IPV4 };
	const struct cidr all6 = { .net.family = ADDR_IPV6 };
	char text[ADDR_TEXT];

	at.key = "deny";
	if (allow->n == 0 && covers_all(deny, &all4) && covers_all(deny, &all6))
		build_error(b, at,
			"covers every address, expected that some "
			"are let in");
	at.key = "allow";
	for (at.element = 0; at.element < allow->n; at.element++) {
		const struct cidr *c = &allow->v[at.element];

		if (!covers_all(deny, c))
			continue;
		if (c->net.family == ADDR_UNIX)
			build_error(b, at,
				"unix is in deny, too, which wins, expected it "
				"in one of them");
		else
			build_error(b, at,
				"%s/%u is covered by deny, which "
				"wins, expected that some of it is let in",
				addr_format_ip(&c->net, text),
				(unsigned)c->bits);
	}
}

/* --- server and listeners -------------------------------------------------- */

static void choose_kinds(struct conf_server *s)
{
	for (size_t i = 0; i < s->log_events.n; i++)
		/* Each was looked at when it was read. */
		if (log_kind_choose(&s->log_hidden, str_of(s->log_events.v[i]),
			    i == 0) < 0)
			return;
}

#define SOCKET_PATH_MAX 107 /* sockaddr_un less its NUL */

static void check_control(struct builder *b, const char *key, const char *path)
{
	const struct conf_server *s = &b->conf->server;
	struct build_at at = { SECTION_SERVER, 0, key, 0 };

	if (path && strlen(path) > SOCKET_PATH_MAX)
		build_error(b, at,
			"is too long for the path of a socket, expected at "
			"most "
			"%d bytes",
			SOCKET_PATH_MAX);
	else if (path == s->control_readonly && path && s->control &&
		 strcmp(path, s->control) == 0)
		build_error(b, at,
			"is the path of control, too, expected another one");
}

static void check_server(struct builder *b)
{
	struct conf_server *s = &b->conf->server;
	struct build_at at = { SECTION_SERVER, 0, "user", 0 };

	choose_kinds(s);
	if (s->user && !getpwnam(s->user))
		build_error(b, at,
			"there is no user \"%s\", expected a name "
			"known to this system",
			s->user);
	check_control(b, "control", s->control);
	check_control(b, "control_readonly", s->control_readonly);
}

/* Port 0 is any free one, and two of them are two. */
static bool is_same_address(
	const struct conf_address *a, const struct conf_address *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LISTEN_TCP)
		return a->addr.port != 0 && a->addr.port == b->addr.port &&
		       addr_same_ip(&a->addr, &b->addr);
	return strcmp(a->path, b->path) == 0;
}

/* Whether an earlier listener, or an earlier line, has this address. */
static const struct conf_listen *find_address(
	const struct conf *c, size_t i, size_t k)
{
	const struct conf_address *a = &c->listens[i].address.v[k];

	for (size_t j = 0; j <= i; j++) {
		const struct conf_addresses *list = &c->listens[j].address;
		size_t n = j == i ? k : list->n;

		/* Two of one name are a complaint of their own. */
		if (j != i && strcmp(c->listens[j].section.name,
				      c->listens[i].section.name) == 0)
			continue;
		for (size_t m = 0; m < n; m++)
			if (is_same_address(&list->v[m], a))
				return &c->listens[j];
	}
	return NULL;
}

static void check_proxies(
	struct builder *b, const struct conf_listen *l, size_t i)
{
	struct build_at at = { SECTION_LISTEN, i, "proxy_protocol", 0 };
	struct build_at trusted = { SECTION_LISTEN, i, "trusted_proxies", 0 };

	if (l->proxy_protocol && l->trusted_proxies.n == 0 &&
		!build_is_bad(b, trusted))
		build_error(b, at,
			"yes refuses every peer, expected trusted_proxies "
			"beside it");
}

/* What the table has, and -T writes for each listener. */
#define SOCKET_MODE_DEFAULT 0660

static void check_socket_mode(
	struct builder *b, const struct conf_listen *l, size_t i)
{
	struct build_at at = { SECTION_LISTEN, i, "socket_mode", 0 };

	if (l->socket_mode == SOCKET_MODE_DEFAULT ||
		build_is_bad(b,
			(struct build_at){ SECTION_LISTEN, i, "address", 0 }))
		return;
	for (size_t k = 0; k < l->address.n; k++)
		if (l->address.v[k].kind == LISTEN_UNIX)
			return;
	build_error(b, at,
		"means nothing without a unix: address, expected one beside "
		"it");
}

void check_listens(struct builder *b)
{
	struct conf *c = b->conf;

	if (c->listens_n == 0 && !b->bad_header)
		build_error_line(b, b->files[0]->name, 0,
			"there is no "
			"listener, expected a section [listen NAME]");
	for (size_t i = 0; i < c->listens_n; i++) {
		struct conf_listen *l = &c->listens[i];
		struct build_at at = { SECTION_LISTEN, i, "address", 0 };

		for (; at.element < l->address.n; at.element++) {
			const struct conf_listen *other = find_address(
				c, i, at.element);

			if (other)
				build_error(b, at,
					"%s is there twice, "
					"expected it once: [listen %s] has it",
					l->address.v[at.element].text,
					other->section.name);
		}
		check_proxies(b, l, i);
		check_socket_mode(b, l, i);
		check_access(b, at, &l->allow, &l->deny);
		check_tls_listen(b, l, i);
		check_admin(b, l, i);
	}
}

/* --- all ------------------------------------------------------------------- */

static void resolve_all(struct builder *b)
{
	struct conf *c = b->conf;

	for (size_t i = 0; i < c->pages_n; i++) {
		struct build_at at = { SECTION_PAGE, i, "listen", 0 };

		resolve_listens(
			b, at, &c->pages[i].listen, &c->pages[i].listens);
		resolve_page_key(b, &c->pages[i], i);
		resolve_page_keys(b, &c->pages[i], i);
	}
	for (size_t i = 0; i < c->routes_n; i++) {
		struct conf_route *r = &c->routes[i];

		resolve_listens(b, check_at_route(r, "listen"), &r->listen,
			&r->listens);
		resolve_keys(b, r);
	}
	for (size_t i = 0; i < c->attaches_n; i++) {
		struct conf_attach *a = &c->attaches[i];

		check_attach_begin(b, a);
		resolve_listens(b, check_at_route(&a->entrance, "listen"),
			&a->listen, &a->entrance.listens);
		resolve_attach_keys(b, a);
	}
}

void check_all(struct builder *b)
{
	struct conf *c = b->conf;

	for (int s = 0; s < SECTION_COUNT; s++)
		for (size_t i = 0; i < build_count(c, (enum keys_section)s);
			i++)
			check_required(b, (enum keys_section)s, i);
	/* The arrays have stopped growing: pointers into them are good. */
	resolve_all(b);
	check_server(b);
	for (size_t i = 0; i < c->certificates_n; i++)
		check_certificate(b, &c->certificates[i]);
	check_listens(b);
	for (size_t i = 0; i < c->keys_n; i++)
		check_key(b, &c->keys[i], i);
	for (size_t i = 0; i < c->pages_n; i++)
		check_page(b, &c->pages[i], i);
	for (size_t i = 0; i < c->routes_n; i++)
		check_route(b, &c->routes[i]);
	for (size_t i = 0; i < c->attaches_n; i++)
		check_attach(b, &c->attaches[i]);
	check_covered(b);
	check_exposure(b);
	check_intent(b);
}
