/*
 * A subject as one line of text. mbedTLS has such a function, but it writes
 * what is not ASCII as "?" (2.28) or in hexadecimal (3), and types that it
 * does not know as "??": two subjects could look alike, and one that is
 * allowed by name would have another name with another library.
 */
#include "codec/certificate.h"

#include <stdbool.h>
#include <string.h>

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

#include "base/str.h"
#include "codec/utf8.h"

/* Attribute types with a name of their own (RFC 4514 section 3 and usage). */
static const struct {
	struct str oid; /* in DER */
	const char *name;
} types[] = {
	{ { "\x55\x04\x03", 3 }, "CN" },
	{ { "\x55\x04\x04", 3 }, "SN" },
	{ { "\x55\x04\x05", 3 }, "serialNumber" },
	{ { "\x55\x04\x06", 3 }, "C" },
	{ { "\x55\x04\x07", 3 }, "L" },
	{ { "\x55\x04\x08", 3 }, "ST" },
	{ { "\x55\x04\x09", 3 }, "street" },
	{ { "\x55\x04\x0a", 3 }, "O" },
	{ { "\x55\x04\x0b", 3 }, "OU" },
	{ { "\x55\x04\x0c", 3 }, "title" },
	{ { "\x55\x04\x2a", 3 }, "GN" },
	{ { "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", 10 }, "UID" },
	{ { "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", 10 }, "DC" },
	{ { "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", 9 }, "emailAddress" },
};

/*
 * The line so far. A piece is added whole or not at all, so that no character
 * is cut.
 */
struct line {
	char *p;
	size_t n;
	bool full;
};

static void put(struct line *l, const char *p, size_t n)
{
	if (l->full || n > CERTIFICATE_SUBJECT_MAX - 1 - l->n) {
		l->full = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
	l->p[l->n] = '\0';
}

static void put_text(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static void put_hex(struct line *l, const char *before, unsigned char byte)
{
	static const char digits[] = "0123456789ABCDEF";
	char text[3] = { before[0], digits[byte >> 4], digits[byte & 15] };

	if (before[0])
		put(l, text, 3);
	else
		put(l, text + 1, 2);
}

static void put_type(struct line *l, const mbedtls_asn1_buf *oid)
{
	struct str bytes = { (const char *)oid->p, oid->len };
	char text[128];
	int n;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_eq(bytes, types[i].oid)) {
			put_text(l, types[i].name);
			return;
		}
	n = mbedtls_oid_get_numeric_string(text, sizeof(text), oid);
	if (n > 0 && (size_t)n < sizeof(text)) {
		put(l, text, (size_t)n);
		return;
	}
	for (size_t i = 0; i < oid->len; i++)
		put_hex(l, "", oid->p[i]);
}

/* Strings that are UTF-8 or a part of it; others say bytes, not text. */
static bool is_text(int tag)
{
	return tag == MBEDTLS_ASN1_UTF8_STRING ||
	       tag == MBEDTLS_ASN1_PRINTABLE_STRING ||
	       tag == MBEDTLS_ASN1_IA5_STRING;
}

/* RFC 4514 section 2.4: what must be escaped. */
static bool is_special(struct str s, size_t i)
{
	char c = s.p[i];

	if (c == ' ')
		return i == 0 || i + 1 == s.n;
	if (c == '#')
		return i == 0;
	return strchr(",+\"\\<>;", c) != NULL;
}

/* Either byte of a control character from U+0080 to U+009F, in UTF-8. */
static bool is_c1(struct str s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == 0xc2)
		return i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
	return c >= 0x80 && c < 0xa0 && i > 0 &&
	       (unsigned char)s.p[i - 1] == 0xc2;
}

/* Control characters would reach logs and fields of HTTP. */
static void put_value(struct line *l, struct str s)
{
	bool utf8 = utf8_valid(s.p, s.n);

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		size_t n = 1;

		if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8) ||
			is_c1(s, i)) {
			put_hex(l, "\\", c);
			continue;
		}
		if (c < 0x80 && is_special(s, i))
			put_text(l, "\\");
		/* A character of several bytes goes as one. */
		while (i + n < s.n && c >= 0xc0 &&
			((unsigned char)s.p[i + n] & 0xc0) == 0x80)
			n++;
		put(l, s.p + i, n);
		i += n - 1;
	}
}

/* The value in DER, behind a "#" (RFC 4514 section 2.4). */
static void put_bytes(struct line *l, const unsigned char *p, size_t n)
{
	put_text(l, "#");
	for (size_t i = 0; i < n; i++)
		put_hex(l, "", p[i]);
}

/* AttributeTypeAndValue: takes one off *p. */
static int put_attribute(
	struct line *l, unsigned char **p, const unsigned char *end)
{
	mbedtls_asn1_buf oid = { .tag = MBEDTLS_ASN1_OID };
	const unsigned char *value;
	size_t n;
	int tag;

	if (mbedtls_asn1_get_tag(p, end, &n,
		    MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
		return -1;
	end = *p + n;
	if (mbedtls_asn1_get_tag(p, end, &oid.len, MBEDTLS_ASN1_OID) != 0)
		return -1;
	oid.p = *p;
	*p += oid.len;
	value = *p;
	if (value >= end)
		return -1;
	tag = *value;
	(*p)++;
	if (mbedtls_asn1_get_len(p, end, &n) != 0 || *p + n != end)
		return -1;
	put_type(l, &oid);
	put_text(l, "=");
	if (is_text(tag))
		put_value(l, (struct str){ (const char *)*p, n });
	else
		put_bytes(l, value, (size_t)(end - value));
	*p += n;
	return 0;
}

/* RelativeDistinguishedName: nearly always of one attribute. */
static int put_relative(
	struct line *l, unsigned char **p, const unsigned char *end)
{
	size_t n;

	if (mbedtls_asn1_get_tag(p, end, &n,
		    MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET) != 0 ||
		n == 0)
		return -1;
	end = *p + n;
	for (bool first = true; *p < end; first = false) {
		if (!first)
			put_text(l, " + ");
		if (put_attribute(l, p, end) < 0)
			return -1;
	}
	return 0;
}

int certificate_subject(
	char out[CERTIFICATE_SUBJECT_MAX], const uint8_t *der, size_t n)
{
	struct line l = { out, 0, false };
	/* The library's functions take what they do not write. */
	unsigned char *p = (unsigned char *)(uintptr_t)der;
	const unsigned char *end = der + n;
	size_t inner;

	out[0] = '\0';
	if (mbedtls_asn1_get_tag(&p, end, &inner,
		    MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0 ||
		p + inner != end)
		return -1;
	for (bool first = true; p < end; first = false) {
		if (!first)
			put_text(&l, ", ");
		if (put_relative(&l, &p, end) < 0) {
			out[0] = '\0';
			return -1;
		}
	}
	return 0;
}
