/*
 *   read.h: files -> values -> check.h: what they mean together -> struct conf
 */
#include "conf/conf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pattern.h"
#include "conf/build.h"
#include "conf/check.h"
#include "conf/file.h"
#include "conf/read.h"
#include "conf/value.h"

/* --- snapshots ------------------------------------------------------------- */

static int builder_init(struct builder *b, struct buf *errors)
{
	*b = (struct builder){ .out = errors };
	b->conf = calloc(1, sizeof(*b->conf));
	if (!b->conf) {
		build_no_memory(b);
		return -1;
	}
	atomic_init(&b->conf->references, 1);
	if (read_begin(b) < 0) {
		conf_unref(b->conf);
		return -1;
	}
	return 0;
}

static void builder_free(struct builder *b)
{
	for (size_t i = 0; i < b->files_n; i++) {
		free(b->files[i]->name);
		free(b->files[i]);
	}
	free(b->files);
	free(b->pairs);
}

static struct conf *builder_done(struct builder *b)
{
	struct conf *c = b->conf;

	if (!b->no_memory && b->files_n > 0)
		check_all(b);
	build_finish(b);
	if (b->errors > 0 || b->no_memory) {
		conf_unref(c);
		c = NULL;
	}
	builder_free(b);
	return c;
}

bool conf_complaint_is_warning(struct str line)
{
	static const struct str mark = { ": warning: ", 11 };

	return memmem(line.p, line.n, mark.p, mark.n) != NULL;
}

struct conf *conf_load(const char *file, struct buf *errors)
{
	struct builder b;

	if (builder_init(&b, errors) < 0)
		return NULL;
	read_from_file(&b, file);
	return builder_done(&b);
}

struct conf *conf_load_for_tokens(const char *file, struct buf *errors)
{
	struct builder b;

	if (builder_init(&b, errors) < 0)
		return NULL;
	b.for_tokens = true;
	read_from_file(&b, file);
	return builder_done(&b);
}

char *conf_read_control(const char *file)
{
	struct buf errors = { 0 };
	struct builder b;
	char *path = NULL;

	if (builder_init(&b, &errors) == 0) {
		read_from_file(&b, file);
		if (b.conf->server.control)
			path = str_dup(str_of(b.conf->server.control));
		conf_unref(b.conf);
		builder_free(&b);
	}
	buf_free(&errors);
	return path;
}

int conf_default_control(char **path)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");
	struct buf out = { 0 };

	*path = NULL;
	if (!directory || directory[0] != '/')
		return 0;
	if (buf_add_printf(&out, "%.*s/control.sock",
		    (int)strcspn(directory, ":"), directory) == 0)
		*path = str_dup(buf_str(&out));
	buf_free(&out);
	return *path ? 0 : -1;
}

struct conf *conf_load_text(
	const char *name, struct str text, struct buf *errors)
{
	struct builder b;

	if (builder_init(&b, errors) < 0)
		return NULL;
	read_from_text(&b, name, text);
	return builder_done(&b);
}

/*
 * The sections keep the lines that they had when c was read from its files: a
 * complaint must name those, not the lines of a dump.
 */
static void keep_places(struct builder *b, struct conf *c)
{
	b->pairs_n = 0;
	for (int s = 0; s < SECTION_COUNT; s++) {
		enum keys_section kind = (enum keys_section)s;

		assert(build_count(b->conf, kind) == build_count(c, kind));
		for (size_t i = 0; i < build_count(c, kind); i++) {
			const struct conf_section *from = build_section(
				c, kind, i);
			struct conf_section *to = build_section(
				b->conf, kind, i);

			free(to->file);
			to->file = NULL;
			to->line = from->line;
			/* Without a [server] there is none. */
			if (from->file)
				to->file = str_dup(str_of(from->file));
			if (from->file && !to->file)
				build_no_memory(b);
		}
	}
}

/*
 * One try: what a dump says is read as any file is, so that this cannot forget
 * a key of the table.
 */
static struct conf *reread(const struct conf *c, const struct conf *before,
	bool *faulty, struct buf *errors)
{
	struct buf text = { 0 };
	struct builder b;

	if (builder_init(&b, errors) < 0)
		return NULL;
	if (conf_dump(&text, c) < 0)
		build_no_memory(&b);
	else
		read_from_text(&b, "settings in effect", buf_str(&text));
	buf_free(&text);
	/* What was accepted once is well-formed; only memory can be out. */
	if (b.errors == 0 && !b.no_memory)
		keep_places(&b, (struct conf *)(uintptr_t)c);
	b.faulty = faulty;
	b.before = before;
	return builder_done(&b);
}

struct conf *conf_reread(const struct conf *c, struct buf *errors, bool *kept)
{
	bool *faulty = calloc(
		build_number(c, SECTION_COUNT, 0), sizeof(*faulty));
	struct buf again = { 0 };
	struct conf *result;

	*kept = false;
	if (!faulty)
		return NULL;
	result = reread(c, NULL, faulty, errors);
	if (!result) {
		/* It has the same complaints, less those that were met. */
		result = reread(c, c, faulty, &again);
		*kept = result != NULL;
	}
	buf_free(&again);
	free(faulty);
	return result;
}

struct conf *conf_ref(struct conf *c)
{
	atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	return c;
}

static void free_backend(struct conf_backend *to)
{
	free(to->host);
	free(to->port);
	free(to->path);
	for (size_t i = 0; i < to->argc; i++)
		free(to->argv[i]);
	free(to->argv);
	free(to->searched);
}

/* What check_all made of the values. */
static void free_made(struct conf *c)
{
	for (size_t i = 0; i < c->keys_n; i++)
		check_key_free(&c->keys[i]);
	for (size_t i = 0; i < c->cas_n; i++)
		free(c->cas[i].file);
	for (size_t i = 0; i < c->listens_n; i++) {
		free(c->listens[i].use_certificates.v);
		free(c->listens[i].client_crl);
	}
	for (size_t i = 0; i < c->pages_n; i++) {
		pattern_free(c->pages[i].pattern);
		free(c->pages[i].listens.v);
		free(c->pages[i].use_keys.v);
	}
	for (size_t i = 0; i < c->routes_n; i++) {
		pattern_free(c->routes[i].pattern);
		free_backend(&c->routes[i].to);
		free(c->routes[i].listens.v);
		free(c->routes[i].use_keys.v);
	}
	for (size_t i = 0; i < c->attaches_n; i++)
		check_attach_free(&c->attaches[i]);
}

static void free_values(struct conf *c, enum keys_section s)
{
	for (size_t i = 0; i < build_count(c, s); i++) {
		void *object = build_object(c, s, i);
		struct conf_section *section = object;
		size_t n;
		const struct key_row *row = keys_rows(s, &n);

		for (; n > 0; n--, row++)
			value_free(row, object);
		free(section->name);
		free(section->file);
	}
}

void conf_unref(struct conf *c)
{
	if (!c || atomic_fetch_sub_explicit(
			  &c->references, 1, memory_order_acq_rel) > 1)
		return;
	if (c->forget)
		c->forget(c);
	free_made(c);
	file_free_all(c);
	for (int s = 0; s < SECTION_COUNT; s++)
		free_values(c, (enum keys_section)s);
	free(c->listens);
	free(c->certificates);
	free(c->cas);
	free(c->keys);
	free(c->pages);
	free(c->routes);
	free(c->attaches);
	free(c);
}

/* --- questions ------------------------------------------------------------- */

const struct conf_key *conf_find_key(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->keys_n; i++)
		if (str_eq(name, str_of(c->keys[i].section.name)))
			return &c->keys[i];
	return NULL;
}

const struct conf_route *conf_find_route(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->routes_n; i++)
		if (str_eq(name, str_of(c->routes[i].section.name)))
			return &c->routes[i];
	return NULL;
}

const struct conf_certificate *conf_find_certificate(
	const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->certificates_n; i++)
		if (str_eq(name, str_of(c->certificates[i].section.name)))
			return &c->certificates[i];
	return NULL;
}

const struct conf_attach *conf_find_attach(
	const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->attaches_n; i++)
		if (str_eq(name, str_of(c->attaches[i].section.name)))
			return &c->attaches[i];
	return NULL;
}

static const struct conf_route *same_entrance(
	const struct conf *c, const struct conf_route *r)
{
	for (size_t i = 0; i < c->attaches_n; i++)
		if (c->attaches[i].entrance.state == r->state)
			return &c->attaches[i].entrance;
	return NULL;
}

const struct conf_route *conf_same_route(
	const struct conf *c, const struct conf_route *r)
{
	if (r->attach)
		return same_entrance(c, r);
	/* Mostly it has not moved. */
	if (r->index < c->routes_n && c->routes[r->index].state == r->state)
		return &c->routes[r->index];
	for (size_t i = 0; i < c->routes_n; i++)
		if (c->routes[i].state == r->state)
			return &c->routes[i];
	return NULL;
}

const struct conf_listen *conf_same_listen(
	const struct conf *c, const struct conf_listen *l)
{
	for (size_t i = 0; l && i < c->listens_n; i++)
		if (c->listens[i].state == l->state)
			return &c->listens[i];
	return NULL;
}

bool conf_same_way(const struct conf_route *a, const struct conf_route *b)
{
	return strcmp(a->backend, b->backend) == 0 &&
	       a->framing == b->framing && a->mode == b->mode &&
	       a->addressing == b->addressing;
}

/* "relay.example.org." is the same host (RFC 3986 section 3.2.2). */
static struct str without_dot(struct str host)
{
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

static bool is_same_host(struct str a, struct str b)
{
	struct addr x, y;

	if (addr_parse(&x, a) == 0 && addr_parse(&y, b) == 0)
		return addr_same_ip(&x, &y); /* [::1] is [0:0::1] */
	return str_eq_nocase(without_dot(a), without_dot(b));
}

static bool is_local_host(struct str host)
{
	return is_same_host(host, STR("localhost")) ||
	       is_same_host(host, STR("127.0.0.1")) ||
	       is_same_host(host, STR("[::1]"));
}

bool conf_listen_answers(const struct conf_listen *l,
	const struct conf_address *a, struct str host)
{
	struct addr number;

	for (size_t i = 0; i < l->hosts.n; i++) {
		struct str h = str_of(l->hosts.v[i]);

		if (str_eq(h, STR("*")) || is_same_host(h, host))
			return true;
	}
	if (l->hosts.n > 0)
		return false;
	/* Pages of foreign sites come by a name that they made theirs. */
	if (l->role == CONF_ROLE_ADMIN && a->kind != LISTEN_UNIX)
		return is_local_host(host) || addr_parse(&number, host) == 0;
	/* A page of a foreign site can reach loopback, but no Unix socket. */
	if (a->kind == LISTEN_TCP && addr_is_loopback(&a->addr))
		return is_local_host(host);
	return true;
}

bool conf_admits(const struct cidr_list *allow, const struct cidr_list *deny,
	const struct addr *a)
{
	if (cidr_list_contains(deny, a))
		return false;
	return allow->n == 0 || cidr_list_contains(allow, a);
}
