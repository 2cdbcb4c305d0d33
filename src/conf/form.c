/*
 * form.c: what a value looks like, by its type. What goes into an HTTP field,
 * a URL or the environment of a program is checked here, once, so that
 * nothing has to be escaped later.
 */
#include "conf/form.h"

#include "base/log_kind.h"
#include "codec/http/http.h"
#include "codec/http/origin.h"
#include "codec/http/uri.h"
#include "codec/token/jwt.h"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* Whether s is not empty and consists of letters, digits and these. */
static bool has_only(struct str s, const char *more)
{
	struct str set = str_of(more);

	for (size_t i = 0; i < s.n; i++) {
		bool found = is_alnum(s.p[i]);

		for (size_t k = 0; k < set.n && !found; k++)
			found = s.p[i] == set.p[k];
		if (!found)
			return false;
	}
	return s.n > 0;
}

bool form_is_name(struct str s)
{
	return s.n <= FORM_NAME_MAX && has_only(s, "_.-");
}

static bool has_port(struct str s)
{
	struct str colon = { s.p, s.n };

	while (colon.n > 0 && colon.p[colon.n - 1] != ':' &&
		colon.p[colon.n - 1] != ']')
		colon.n--;
	return colon.n > 0 && colon.p[colon.n - 1] == ':';
}

static bool is_host(struct str s)
{
	struct uri_authority a;

	return !has_port(s) && uri_parse_authority(&a, s) == 0;
}

static bool is_authority(struct str s)
{
	struct uri_authority a;

	return uri_parse_authority(&a, s) == 0;
}

static bool is_url(struct str s)
{
	static const struct str schemes[] = {
		{ "ws://", 5 },
		{ "wss://", 6 },
		{ "http://", 7 },
		{ "https://", 8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (str_starts(s, schemes[i]))
			return is_authority((struct str){
				s.p + schemes[i].n, s.n - schemes[i].n });
	return false;
}

/*
 * A list of sources of CSP's frame-ancestors; ';' would begin another
 * directive and ',' another policy.
 */
static bool is_ancestors(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == ';' ||
			s.p[i] == ',')
			return false;
	return true;
}

/* Fields that the relay itself sends, or that mean the connection. */
static bool is_own_field(struct str name)
{
	static const char *const own[] = {
		"Connection",
		"Content-Encoding",
		"Content-Length",
		"Content-Range",
		"Content-Type",
		"Date",
		"ETag",
		"Keep-Alive",
		"Last-Modified",
		"Location",
		"Proxy-Authenticate",
		"Proxy-Connection",
		"TE",
		"Trailer",
		"Transfer-Encoding",
		"Upgrade",
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (str_eq_nocase(name, str_of(own[i])))
			return true;
	return false;
}

static int check_header(struct str s, const char **why)
{
	struct str name = { s.p, 0 };

	while (name.n < s.n && s.p[name.n] != ':')
		name.n++;
	if (name.n == s.n || !http_is_token(name)) {
		*why = "Name: value";
		return -1;
	}
	if (is_own_field(name)) {
		*why = "a field that the relay does not send itself";
		return -1;
	}
	/* RFC 9110 section 5.5: visible characters, blanks, obs-text. */
	for (size_t i = name.n; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') ||
			s.p[i] == 0x7f) {
			*why = "a value without control characters";
			return -1;
		}
	return 0;
}

static bool is_variable(struct str s)
{
	struct str name = { s.p, 0 };

	while (name.n < s.n && s.p[name.n] != '=')
		name.n++;
	return name.n < s.n && has_only(name, "_") &&
	       !(s.p[0] >= '0' && s.p[0] <= '9');
}

/*
 * A client's subject is written in one form only; what could never be one is
 * refused here.
 */
static bool is_subject(struct str s)
{
	struct str type = { s.p, 0 };

	while (type.n < s.n && s.p[type.n] != '=')
		type.n++;
	return type.n + 1 < s.n && has_only(type, ".");
}

static int check_origin(struct str s, const char **why)
{
	if (str_eq(s, STR("same")) || str_eq(s, STR("any")))
		return 0;
	return origin_pattern_check(s, why);
}

int form_check(enum keys_type type, struct str s, const char **why)
{
	log_kinds kinds = 0;

	switch (type) {
	case TYPE_NAME:
	case TYPE_NAMES:
		*why = "a section's name: at most 40 letters, digits, _ . -";
		return form_is_name(s) ? 0 : -1;
	case TYPE_HOST:
		*why = "a host name or address without a port";
		return is_host(s) ? 0 : -1;
	case TYPE_HOSTS:
		*why = "a host name or address without a port, or *";
		return str_eq(s, STR("*")) || is_host(s) ? 0 : -1;
	case TYPE_AUTHORITY:
		*why = "backend, client, or a host, perhaps with its port";
		return is_authority(s) ? 0 : -1;
	case TYPE_PARAMETER:
		*why = "letters, digits, _ . ~ -";
		return has_only(s, "_.~-") ? 0 : -1;
	case TYPE_SUBJECT:
		*why = "at most 255 bytes"; /* control bytes stay in ini.c */
		return s.n <= JWT_SUBJECT_MAX ? 0 : -1;
	case TYPE_URL:
		*why = "wss://HOST[:PORT] (or ws, https, http) without a path";
		return is_url(s) ? 0 : -1;
	case TYPE_ANCESTORS:
		*why = "self, none or origins, without ; and ,";
		return is_ancestors(s) ? 0 : -1;
	case TYPE_HEADERS:
		return check_header(s, why);
	case TYPE_ENVIRONMENT:
		*why = "NAME=VALUE, the name of letters, digits and _";
		return is_variable(s) ? 0 : -1;
	case TYPE_SUBJECTS:
		*why = "a certificate's subject, as in CN=alice, O=lab";
		return is_subject(s) ? 0 : -1;
	case TYPE_TOKENS:
		*why = "a token as in Sec-WebSocket-Protocol";
		return http_is_token(s) ? 0 : -1;
	case TYPE_ORIGINS:
		return check_origin(s, why);
	case TYPE_EVENTS:
		*why = LOG_KIND_GROUPS
			", or an event that may be left out, such as open; "
			"or one of them with - in front";
		return log_kind_choose(&kinds, s, false);
	case TYPE_STRING:
	case TYPE_PATH:
	case TYPE_BOOL:
	case TYPE_SIZE:
	case TYPE_TIME:
	case TYPE_COUNT:
	case TYPE_RATE:
	case TYPE_MODE:
	case TYPE_ENUM:
	case TYPE_STRINGS:
	case TYPE_PATHS:
	case TYPE_ADDRESSES:
	case TYPE_CIDRS:
		break;
	}
	return 0;
}
