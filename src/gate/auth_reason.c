#include "gate/auth_reason.h"

enum reason auth_reason(enum jwt_result r)
{
	switch (r) {
	case JWT_OK:
		return REASON_NONE;
	case JWT_MALFORMED:
		return REASON_TOKEN_MALFORMED;
	case JWT_UNKNOWN_KEY:
	case JWT_ISSUER: /* of this issuer no key made it */
		return REASON_TOKEN_UNKNOWN_KEY;
	case JWT_SIGNATURE:
		return REASON_TOKEN_SIGNATURE;
	case JWT_EXPIRED:
		return REASON_TOKEN_EXPIRED;
	case JWT_TOO_EARLY:
		return REASON_TOKEN_TOO_EARLY;
	case JWT_TTL:
		return REASON_TOKEN_TTL;
	case JWT_PATH:
		return REASON_TOKEN_PATH;
	case JWT_AUDIENCE:
		return REASON_TOKEN_AUDIENCE;
	case JWT_NO_MEMORY:
		return REASON_INTERNAL;
	}
	return REASON_INTERNAL;
}
