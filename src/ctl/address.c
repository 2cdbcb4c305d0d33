/* Where people reach a page, as far as a configuration says it. */
#include "ctl/invite.h"

#include <string.h>

#include "conf/conf.h"
#include "ctl/ctl.h"

/* As a page's own scheme: ws is http. */
static int add_public_url(struct buf *out, const char *url)
{
	bool ws = strncmp(url, "ws", 2) == 0;

	return buf_add_printf(
		out, "%s%s", ws ? "http" : "", url + (ws ? 2 : 0));
}

/* The first name of hosts that is one; NULL: there is none. */
static const char *named_host(const struct conf_listen *l)
{
	for (size_t i = 0; i < l->hosts.n; i++)
		if (!strchr(l->hosts.v[i], '*'))
			return l->hosts.v[i];
	return NULL;
}

static bool is_any(const struct addr *a)
{
	static const uint8_t zero[sizeof(a->ip)];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

enum found { NO_MEMORY = -1, NOTHING, NO_NAME, ADDED, ADDED_LOOPBACK };

static enum found add_address(struct buf *out, const struct conf_listen *l,
	const struct conf_address *a)
{
	bool tls = l->certificates.n > 0;
	const char *host = named_host(l);
	char ip[ADDR_TEXT];
	bool loopback;
	int r;

	if (a->kind != LISTEN_TCP || a->addr.port == 0)
		return NOTHING;
	if (!host && is_any(&a->addr))
		return NO_NAME;
	loopback = !host && addr_is_loopback(&a->addr);
	if (!host)
		host = addr_format_ip(&a->addr, ip);
	r = buf_add_printf(out,
		strchr(host, ':') && host[0] != '[' ? "%s://[%s]" : "%s://%s",
		tls ? "https" : "http", host);
	if (r == 0 && a->addr.port != (tls ? 443 : 80))
		r = buf_add_printf(out, ":%u", (unsigned int)a->addr.port);
	return r < 0 ? NO_MEMORY : loopback ? ADDED_LOOPBACK : ADDED;
}

static enum found add_listener(struct buf *out, const struct conf_listen *l)
{
	enum found r = NOTHING;

	for (size_t i = 0; r == NOTHING && i < l->address.n; i++)
		r = add_address(out, l, &l->address.v[i]);
	return r;
}

static enum found add_first(
	struct buf *out, const struct conf *conf, const struct conf_page *page)
{
	enum found r = NOTHING;

	for (size_t i = 0; r == NOTHING && i < page->listens.n; i++)
		r = add_listener(out, page->listens.v[i]);
	if (page->listens.n > 0)
		return r;
	for (size_t i = 0; r == NOTHING && i < conf->listens_n; i++)
		if (conf->listens[i].role == CONF_ROLE_PUBLIC)
			r = add_listener(out, &conf->listens[i]);
	return r;
}

static void complain(const struct conf_page *page, const char *what)
{
	ctl_complain("%s: write public_url = http://HOST:PORT behind %s:%d, "
		     "[page %s], or say it with --url",
		what, page->section.file, page->section.line,
		page->section.name);
}

int invite_address(struct buf *out, const struct conf *conf,
	const struct conf_page *page, const char *url)
{
	if (url || page->public_url)
		return add_public_url(out, url ? url : page->public_url);
	switch (add_first(out, conf, page)) {
	case ADDED_LOOPBACK:
		complain(page, "the link opens on this machine only; for "
			       "others");
		return 0;
	case ADDED:
		return 0;
	case NOTHING:
		complain(page, "no listener of the page has an address that "
			       "people can open");
		return -1;
	case NO_NAME:
		complain(page, "the listener has all addresses of this "
			       "machine, and hosts names none");
		return -1;
	case NO_MEMORY:
		break;
	}
	return -1;
}
