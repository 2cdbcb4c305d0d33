#include "base/redact.h"

#include <string.h>

#include "base/compiler.h"

/* The least of header, payload and signature; HS256's has 43 characters. */
static const size_t part_min[] = { 16, 16, 40 };

/* How many characters of base64url begin s (RFC 4648 section 5). */
static size_t base64url_length(struct str s)
{
	size_t n = 0;

	for (; n < s.n; n++) {
		char c = s.p[n];

		if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
			!(c >= '0' && c <= '9') && c != '-' && c != '_')
			break;
	}
	return n;
}

static struct str behind(struct str s, size_t n)
{
	return (struct str){ s.p + n, s.n - n };
}

/* The length of what begins s and looks like a JWT; 0: nothing does. */
static size_t token_length(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(part_min); i++) {
		size_t part = base64url_length(behind(s, n));

		if (part < part_min[i])
			return 0;
		n += part;
		if (i + 1 == ARRAY_SIZE(part_min))
			break;
		if (n == s.n || s.p[n] != '.')
			return 0;
		n++;
	}
	return n;
}

/* Where the first one begins; s.n: there is none. */
static size_t find_token(struct str s)
{
	size_t at = 0;

	while (at < s.n && token_length(behind(s, at)) == 0)
		at += base64url_length(behind(s, at)) + 1;
	return at < s.n ? at : s.n;
}

struct str redact_tokens(struct str s, char *out, size_t size)
{
	static const struct str mark = { "(token)", 7 };
	size_t n = 0, at = find_token(s);

	if (at == s.n)
		return s;
	while (s.n > 0 && n < size) {
		struct str piece = { s.p, at };

		if (at == 0) {
			piece = mark;
			s = behind(s, token_length(s));
		} else {
			s = behind(s, at);
		}
		if (piece.n > size - n)
			piece.n = size - n;
		memcpy(out + n, piece.p, piece.n);
		n += piece.n;
		at = find_token(s);
	}
	return (struct str){ out, n };
}
