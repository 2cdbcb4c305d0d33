#include "page/fields.h"

#include "conf/conf.h"

static bool has_name(struct str line, struct str name)
{
	return line.n > name.n && line.p[name.n] == ':' &&
	       str_eq_nocase((struct str){ line.p, name.n }, name);
}

int page_fields_add(struct buf *fields, const char *name, const char *value)
{
	return buf_add_printf(fields, "%s: %s\r\n", name, value);
}

/* frame_ancestors: CSP quotes its two words and nothing else. */
static int add_frame_ancestors(struct buf *fields, const char *value)
{
	struct str s = str_of(value);

	if (s.n == 0)
		return 0;
	if (buf_add_str(fields,
		    STR("Content-Security-Policy: frame-ancestors")) < 0)
		return -1;
	while ((s = str_trim(s)).n > 0) {
		struct str word = { s.p, 0 };
		const char *quote;

		while (word.n < s.n && s.p[word.n] != ' ' &&
			s.p[word.n] != '\t')
			word.n++;
		quote = str_eq(word, STR("self")) || str_eq(word, STR("none"))
				? "'"
				: "";
		if (buf_add_printf(fields, " %s%.*s%s", quote, (int)word.n,
			    word.p, quote) < 0)
			return -1;
		s.p += word.n;
		s.n -= word.n;
	}
	return buf_add_str(fields, STR("\r\n"));
}

int page_fields_add_policy(struct buf *fields)
{
	if (page_fields_add(fields, "X-Content-Type-Options", "nosniff") < 0)
		return -1;
	/* The page's own address may be an invitation with a token. */
	return page_fields_add(fields, "Referrer-Policy", "no-referrer");
}

int page_fields_add_page(
	struct buf *fields, const struct conf_page *page, bool secret)
{
	bool cached = secret;

	if (page_fields_add_policy(fields) < 0 ||
		add_frame_ancestors(fields, page->frame_ancestors) < 0)
		return -1;
	if (secret && page_fields_add(fields, "Cache-Control", "no-store") < 0)
		return -1;
	/* A cache that others share must not hand it on to the uninvited. */
	if (page->auth == CONF_AUTH_TOKEN &&
		page_fields_add(fields, "Vary", "Authorization, Cookie") < 0)
		return -1;
	for (size_t i = 0; i < page->header.n; i++) {
		struct str line = str_of(page->header.v[i]);

		if (has_name(line, STR("X-Content-Type-Options")) ||
			has_name(line, STR("Referrer-Policy")))
			continue;
		if (has_name(line, STR("Cache-Control"))) {
			if (secret)
				continue;
			cached = true;
		}
		if (buf_add_str(fields, line) < 0 ||
			buf_add_str(fields, STR("\r\n")) < 0)
			return -1;
	}
	return cached ? 0
		      : page_fields_add(fields, "Cache-Control", "no-cache");
}

/*
 * If-None-Match, RFC 9110 section 13.1.2: weak comparison. Our tags hold
 * neither commas nor quotes inside, so a foreign tag that does, taken apart at
 * its comma, never equals one of them.
 */
bool page_fields_client_has(const struct http_head *head, const char *etag)
{
	for (size_t i = 0; i < head->n; i++) {
		struct str list = head->fields[i].value, tag;

		if (!str_eq_nocase(head->fields[i].name, STR("If-None-Match")))
			continue;
		while (str_next_element(&list, &tag)) {
			if (str_eq(tag, STR("*")))
				return true;
			if (str_starts(tag, STR("W/"))) {
				tag.p += 2;
				tag.n -= 2;
			}
			if (str_eq(tag, str_of(etag)))
				return true;
		}
	}
	return false;
}
