/*
 * Forwarded (RFC 7239): elements between commas, pairs between semicolons,
 * values that may be quoted. Quotes make it unreadable from the right, so one
 * pass from the left does the walk from the right:
 *
 *   for = an address that is not trusted   the client, as far as we have come:
 *                                          what was to its left is forgotten
 *         no address                       likewise, but this proxy is the
 *                                          client: the next element tells its
 *                                          address, or the socket does
 *         a trusted address                a proxy on the way
 */
#include "codec/http/forwarded.h"

#include <string.h>

#include "codec/http/http.h"
#include "codec/http/uri.h"

enum name { FOR, BY, HOST, PROTO, NAMES, OTHER = NAMES };

static const char *const names[NAMES] = { "for", "by", "host", "proto" };

/* One element; what it does not say is STR_NONE. */
struct element {
	struct str value[NAMES];
	bool escaped; /* one of these has a backslash */
	bool empty;
};

/* --- the grammar of section 4 ----------------------------------------------*/

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_blanks(struct str *s)
{
	while (s->n > 0 && is_blank(s->p[0])) {
		s->p++;
		s->n--;
	}
}

static struct str take_bytes(struct str *s, size_t n)
{
	struct str taken = { s->p, n };

	s->p += n;
	s->n -= n;
	return taken;
}

static struct str take_token(struct str *s)
{
	size_t n = 0;

	while (n < s->n && http_is_token((struct str){ s->p + n, 1 }))
		n++;
	return take_bytes(s, n);
}

static bool take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	take_bytes(s, 1);
	return true;
}

/* A quoted-string (RFC 9110 section 5.6.4), without its quotes. */
static int take_quoted(struct str *s, struct str *value, bool *escaped)
{
	size_t n = 0;

	while (n < s->n && s->p[n] != '"') {
		if (s->p[n] == '\\') {
			*escaped = true;
			n++;
		}
		n++;
	}
	if (n >= s->n)
		return -1;
	*value = take_bytes(s, n);
	take_bytes(s, 1);
	return 0;
}

static enum name find_name(struct str name)
{
	for (int i = 0; i < NAMES; i++)
		if (str_eq_nocase(name, str_of(names[i])))
			return (enum name)i;
	return OTHER;
}

/* forwarded-pair = token "=" value; a name may occur once in an element. */
static int take_pair(struct str *s, struct element *e)
{
	struct str name = take_token(s), value;
	bool escaped = false;
	enum name known = find_name(name);

	if (name.n == 0 || !take_char(s, '='))
		return -1;
	if (take_char(s, '"')) {
		if (take_quoted(s, &value, &escaped) < 0)
			return -1;
	} else {
		value = take_token(s);
		if (value.n == 0)
			return -1;
	}
	if (known == OTHER)
		return 0;
	if (e->value[known].p)
		return -1;
	e->value[known] = value;
	e->escaped = e->escaped || escaped;
	return 0;
}

/* An element and the comma behind it. Blanks as in RFC 9110 section 5.6.6. */
static int take_element(struct str *s, struct element *e)
{
	*e = (struct element){ .empty = true };
	for (;;) {
		skip_blanks(s);
		if (s->n > 0 && s->p[0] != ';' && s->p[0] != ',') {
			if (take_pair(s, e) < 0)
				return -1;
			e->empty = false;
			skip_blanks(s);
		}
		if (s->n == 0 || take_char(s, ','))
			return 0;
		if (!take_char(s, ';'))
			return -1;
		e->empty = false;
	}
}

/* --- nodes, section 6 ------------------------------------------------------*/

static bool is_obfuscated(struct str s)
{
	if (s.n < 2 || s.p[0] != '_')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
			    "XYZ0123456789._-",
			    s.p[i], 65))
			return false;
	return true;
}

/* Behind a node's name: ":" and digits, or an obfuscated one. */
static bool is_port(struct str s)
{
	size_t digits = 0;

	if (s.n == 0)
		return true;
	if (!take_char(&s, ':'))
		return false;
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	return is_obfuscated(s) ||
	       (digits == s.n && digits >= 1 && digits <= 5);
}

enum node { NODE_BAD, NODE_HIDDEN, NODE_ADDRESS };

static enum node read_node(struct str s, struct addr *a)
{
	size_t n = 0;
	struct str name;
	bool v6 = s.n > 0 && s.p[0] == '[';

	while (n < s.n && s.p[n] != (v6 ? ']' : ':'))
		n++;
	if (v6 && n < s.n)
		n++; /* the bracket */
	name = take_bytes(&s, n);
	if (!is_port(s))
		return NODE_BAD;
	if (addr_parse(a, name) == 0)
		return NODE_ADDRESS;
	return str_eq_nocase(name, STR("unknown")) || is_obfuscated(name)
		       ? NODE_HIDDEN
		       : NODE_BAD;
}

/* --- the walk --------------------------------------------------------------*/

struct walk {
	struct forwarded *f;
	bool hidden;     /* the next element tells the client's address */
	const char *bad; /* what is wrong with an element that counts so far */
};

static void read_proto(struct forwarded *f, struct str proto)
{
	bool secure = str_eq_nocase(proto, STR("https")) ||
		      str_eq_nocase(proto, STR("wss"));

	if (f->has_proto)
		return;
	f->has_proto = secure || str_eq_nocase(proto, STR("http")) ||
		       str_eq_nocase(proto, STR("ws"));
	f->secure = secure;
}

/* What an element says beside the address; the leftmost counts. */
static void read_rest(struct walk *w, const struct element *e)
{
	struct uri_authority authority;

	read_proto(w->f, e->value[PROTO]);
	if (w->f->host.p || !e->value[HOST].p)
		return;
	if (uri_parse_authority(&authority, e->value[HOST]) < 0)
		w->bad = "Forwarded has a host that is none";
	else
		w->f->host = e->value[HOST];
}

static void step(struct walk *w, const struct element *e,
	const struct cidr_list *trusted)
{
	struct addr a;
	enum node node = e->value[FOR].p ? read_node(e->value[FOR], &a)
					 : NODE_HIDDEN;
	bool proxy = node == NODE_ADDRESS && cidr_list_contains(trusted, &a);

	if (!proxy) { /* what is further left can't be trusted */
		*w = (struct walk){ .f = w->f };
		*w->f = (struct forwarded){ .peer = w->f->peer };
	}
	if (e->value[FOR].p)
		w->f->has_peer = true;
	if (node == NODE_ADDRESS && (!proxy || w->hidden))
		w->f->peer = a;
	w->hidden = node != NODE_ADDRESS;
	if (node == NODE_BAD)
		w->bad = "Forwarded has a node that is none";
	if (e->escaped) /* nothing that we want needs it */
		w->bad = "Forwarded has a backslash in a value";
	read_rest(w, e);
}

int forwarded_read_list(struct forwarded *f, const struct http_head *head,
	const struct addr *socket_peer, const struct cidr_list *trusted,
	const char **why)
{
	/* Left of the first element no address is known either. */
	struct walk w = { .f = f, .hidden = true };

	*f = (struct forwarded){ .peer = *socket_peer };
	for (size_t i = 0; i < head->n; i++) {
		struct str list = head->fields[i].value;
		struct element e;

		if (!str_eq_nocase(head->fields[i].name, STR("Forwarded")))
			continue;
		while (list.n > 0) {
			if (take_element(&list, &e) < 0) {
				*why = "Forwarded is not well-formed";
				return -1;
			}
			if (!e.empty)
				step(&w, &e, trusted);
		}
	}
	if (w.hidden)
		f->peer = *socket_peer;
	*why = w.bad;
	return w.bad ? -1 : 0;
}
