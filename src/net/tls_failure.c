/* What went wrong with a TLS connection, and how that is said. */
#include "net/tls_private.h"

#include <errno.h>
#include <stdio.h>

#include <mbedtls/error.h>

#include "net/conn.h"

static enum tls_cause cause_of(const struct tls *t, int error)
{
	switch (error) {
	case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		return TLS_CERTIFICATE;
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		return TLS_REFUSED;
	default:
		return t->flags ? TLS_CERTIFICATE : TLS_PROTOCOL;
	}
}

int tls_fail(struct tls *t, int error)
{
	if (t->cause == TLS_NOTHING) {
		uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);

		t->error = error;
		/* Its usages are looked at apart from its chain. */
		if (flags != UINT32_MAX &&
			(error == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
				error == TLS_ERR_BAD_CERTIFICATE))
			t->flags = flags;
		if (error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
			t->alert = mbed_alert(&t->ssl);
		t->cause = (uint8_t)cause_of(t, error);
	}
	t->spoilt = true;
	errno = EPROTO;
	return -1;
}

int tls_fail_with(struct tls *t, enum tls_cause cause)
{
	t->cause = (uint8_t)cause;
	errno = EPROTO;
	return -1;
}

enum tls_cause tls_cause(const struct conn *c)
{
	const struct tls *t = tls_of(c);

	return t ? (enum tls_cause)t->cause : TLS_NOTHING;
}

static const char *certificate_fault(const struct tls *t)
{
	static const struct {
		uint32_t flag;
		const char *text;
	} faults[] = {
		{ MBEDTLS_X509_BADCERT_MISSING, "it sent no certificate" },
		{ MBEDTLS_X509_BADCERT_EXPIRED, "its certificate has expired" },
		{ MBEDTLS_X509_BADCERT_FUTURE,
			"its certificate is not valid yet" },
		{ MBEDTLS_X509_BADCERT_REVOKED, "its certificate is revoked" },
		{ MBEDTLS_X509_BADCRL_EXPIRED,
			"the revocation list of its authority has expired" },
		{ MBEDTLS_X509_BADCRL_FUTURE,
			"the revocation list of its authority is not valid "
			"yet" },
		{ MBEDTLS_X509_BADCRL_NOT_TRUSTED,
			"the revocation list of its authority is not signed "
			"by it" },
		{ MBEDTLS_X509_BADCRL_BAD_MD | MBEDTLS_X509_BADCRL_BAD_PK |
				MBEDTLS_X509_BADCRL_BAD_KEY,
			"the revocation list of its authority is signed with "
			"a weak hash or key" },
		{ MBEDTLS_X509_BADCERT_CN_MISMATCH,
			"its certificate is for another host" },
		{ MBEDTLS_X509_BADCERT_NOT_TRUSTED,
			"its certificate is not signed by a known authority" },
		{ MBEDTLS_X509_BADCERT_BAD_MD,
			"its certificate is signed with a weak hash" },
		{ MBEDTLS_X509_BADCERT_BAD_PK,
			"its certificate is signed with an unknown kind of "
			"key" },
		{ MBEDTLS_X509_BADCERT_BAD_KEY,
			"its certificate has a key that is too short or of "
			"an unknown kind" },
		{ MBEDTLS_X509_BADCERT_KEY_USAGE,
			"its certificate is not meant for this use" },
		{ MBEDTLS_X509_BADCERT_EXT_KEY_USAGE,
			"its certificate is not meant for this use" },
		{ MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
			"its certificate is not meant for this use" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (t->flags & faults[i].flag)
			return faults[i].text;
	return t->error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE
		       ? "it sent no certificate"
		       : "its certificate is not valid";
}

const char *tls_cause_text(const struct conn *c)
{
	switch (tls_cause(c)) {
	case TLS_NOTHING:
		return NULL;
	case TLS_PLAIN_HTTP:
		return "HTTP without TLS";
	case TLS_CERTIFICATE:
		return certificate_fault(tls_of(c));
	case TLS_REFUSED:
		return "a TLS alert came";
	case TLS_TRUNCATED:
		return tls_is_opening(c)
			       ? "it ended in the TLS handshake"
			       : "the TLS stream ended without close_notify";
	case TLS_PROTOCOL:
		return "TLS failed";
	}
	return NULL;
}

/* RFC 8446 section 6, and what RFC 5246 section 7.2 had more. */
static const char *alert_name(uint8_t alert)
{
	static const struct {
		uint8_t alert;
		const char *name;
	} names[] = {
		{ 10, "unexpected_message" },
		{ 20, "bad_record_mac" },
		{ 22, "record_overflow" },
		{ 40, "handshake_failure" },
		{ 42, "bad_certificate" },
		{ 43, "unsupported_certificate" },
		{ 44, "certificate_revoked" },
		{ 45, "certificate_expired" },
		{ 46, "certificate_unknown" },
		{ 47, "illegal_parameter" },
		{ 48, "unknown_ca" },
		{ 49, "access_denied" },
		{ 50, "decode_error" },
		{ 51, "decrypt_error" },
		{ 70, "protocol_version" },
		{ 71, "insufficient_security" },
		{ 80, "internal_error" },
		{ 86, "inappropriate_fallback" },
		{ 90, "user_canceled" },
		{ 109, "missing_extension" },
		{ 110, "unsupported_extension" },
		{ 112, "unrecognized_name" },
		{ 116, "certificate_required" },
		{ 120, "no_application_protocol" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].alert == alert)
			return names[i].name;
	return "of an unknown kind";
}

/*
 * A server that speaks TLS 1.3 only refuses a client that does not with
 * protocol_version (RFC 8446 section 4.2.1), some with handshake_failure.
 */
static const char *alert_meaning(const struct tls *t)
{
	if (MBED_HAS_TLS_1_3 || t->context->server)
		return "";
	if (t->alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION)
		return ": it wants TLS 1.3, which " MBEDTLS_VERSION_STRING_FULL
		       " has not";
	if (t->alert == MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE)
		return ": no suite in common, or it wants TLS 1.3, "
		       "which " MBEDTLS_VERSION_STRING_FULL " has not";
	return "";
}

const char *tls_failure(const struct conn *c, char text[TLS_TEXT])
{
	const struct tls *t = tls_of(c);
	char why[TLS_TEXT - 16];

	if (tls_cause(c) == TLS_REFUSED) {
		snprintf(text, TLS_TEXT, "it sent the alert %u, %s%s", t->alert,
			alert_name(t->alert), alert_meaning(t));
		return text;
	}
	if (tls_cause(c) != TLS_PROTOCOL)
		return tls_cause_text(c);
	mbedtls_strerror(t->error, why, sizeof(why));
	snprintf(text, TLS_TEXT, "%s (-0x%04x)", why, (unsigned)-t->error);
	return text;
}
