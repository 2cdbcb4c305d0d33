/*
 * jwt_json.h: from a compact JWS (RFC 7515 section 3.1) to JSON objects.
 * Private to codec/token and codec/control.c.
 */
#ifndef CODEC_TOKEN_JWT_JSON_H
#define CODEC_TOKEN_JWT_JSON_H

#include <stdint.h>

#include <jansson.h>

#include "base/compiler.h"
#include "base/str.h"
#include "codec/token/jwt.h"

/* Levels of arrays and objects in a header or payload. */
#define JWT_JSON_DEPTH 8
/*
 * What jansson allocates at most per byte of JSON, with the array that it
 * outgrows: many empty objects are the worst.
 */
#define JWT_JSON_RESERVE 128
/* A NumericDate's end: the last second of the year 9999. */
#define JWT_JSON_DATE_MAX INT64_C(253402300799)

struct jwt_json_parts { /* still encoded, borrowed, not empty */
	struct str header, payload, signature;
	struct str signing_input; /* header.payload */
};

/* -1 and *why: too long, or not three parts. */
MUST_CHECK int jwt_json_split(
	struct jwt_json_parts *parts, struct str token, const char **why);
/*
 * Reads n bytes of JSON. JWT_OK and the caller owns *object; JWT_MALFORMED and
 * *why: not an object (RFC 8259), nested too deep, a name twice; JWT_NO_MEMORY.
 */
MUST_CHECK enum jwt_result jwt_json_read(
	json_t **object, const void *json, size_t n, const char **why);
/*
 * Decodes a part. JWT_OK and the caller owns *object; JWT_MALFORMED and *why;
 * JWT_NO_MEMORY.
 */
MUST_CHECK enum jwt_result jwt_json_load(
	json_t **object, struct str part, const char **why);
/*
 * An owned copy of a string without control characters, which would do harm
 * in logs, header fields and terminals. JWT_MALFORMED also when value is NULL.
 */
MUST_CHECK enum jwt_result jwt_json_text(char **copy, const json_t *value);
/*
 * A NumericDate (RFC 7519 section 2), integer or real, as milliseconds. -1:
 * not a number, before 1970, after 9999.
 */
MUST_CHECK int jwt_json_date(int64_t *ms, const json_t *value);

#endif
