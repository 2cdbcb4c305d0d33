#include "front/reply.h"

#include <time.h>

#include "codec/http/http.h"

#define RETRY_AFTER_S 5u

int reply_head(struct buf *out, const struct reply *r)
{
	char date[40];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (buf_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", r->status,
		    http_status_text(r->status), date) < 0)
		return -1;
	if (r->id && buf_add_printf(out, "X-Wsrelay-Id: %s\r\n", r->id) < 0)
		return -1;
	if (r->fields.n > 0 && buf_add_str(out, r->fields) < 0)
		return -1;
	if (r->has_length && buf_add_printf(out, "Content-Length: %llu\r\n",
				     (unsigned long long)r->length) < 0)
		return -1;
	if (r->close && buf_add_str(out, STR("Connection: close\r\n")) < 0)
		return -1;
	return buf_add_str(out, STR("\r\n"));
}

/* Fields that a status must or should bring (RFC 9110, 6750, 6455). */
static int status_fields(
	struct buf *out, int status, const char *word, uint32_t retry_ms)
{
	switch (status) {
	case 401:
		return buf_add_printf(out,
			"WWW-Authenticate: Bearer error=\"invalid_token\", "
			"error_description=\"%s\"\r\n",
			word);
	case 405:
		return buf_add_str(out, STR("Allow: GET, HEAD\r\n"));
	case 426:
		return buf_add_str(out, STR("Upgrade: websocket\r\n"
					    "Connection: Upgrade\r\n"
					    "Sec-WebSocket-Version: 13\r\n"));
	case 429:
	case 503:
		return buf_add_printf(out, "Retry-After: %u\r\n",
			retry_ms > 0 ? (retry_ms + 999) / 1000 : RETRY_AFTER_S);
	default:
		return 0;
	}
}

int reply_refusal(struct buf *out, const struct reply_refusal *refusal)
{
	const struct reason_info *info = reason_get(refusal->reason);
	struct buf fields = { 0 };
	struct reply r = { .status = info->status,
		.id = refusal->id,
		.close = true,
		.has_length = true };
	int result = -1;

	if (buf_add_str(
		    &fields, STR("Content-Type: text/plain; charset=utf-8\r\n"
				 "Cache-Control: no-store\r\n"
				 "X-Content-Type-Options: nosniff\r\n"
				 "Referrer-Policy: no-referrer\r\n")) < 0 ||
		status_fields(
			&fields, r.status, info->word, refusal->retry_ms) < 0)
		goto out;
	r.fields = buf_str(&fields);
	r.length = refusal->words.n + 1;
	if (reply_head(out, &r) < 0)
		goto out;
	if (!refusal->head && (buf_add_str(out, refusal->words) < 0 ||
				      buf_add_str(out, STR("\n")) < 0))
		goto out;
	result = 0;
out:
	buf_free(&fields);
	return result;
}

int reply_switch(
	struct buf *out, struct str accept, struct str protocol, const char *id)
{
	if (buf_add_printf(out,
		    "HTTP/1.1 101 Switching Protocols\r\n"
		    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Accept: %.*s\r\nX-Wsrelay-Id: %s\r\n",
		    (int)accept.n, accept.p, id) < 0)
		return -1;
	if (protocol.n > 0 &&
		buf_add_printf(out, "Sec-WebSocket-Protocol: %.*s\r\n",
			(int)protocol.n, protocol.p) < 0)
		return -1;
	return buf_add_str(out, STR("\r\n"));
}
