/*
 * auth_reason.h: what a token's result is called in logs, answers and
 * wsrelayd(8). The one map from results to reasons.
 */
#ifndef RELAY_AUTH_REASON_H
#define RELAY_AUTH_REASON_H

#include "base/reason.h"
#include "codec/jwt.h"

/* REASON_NONE of JWT_OK only. */
enum reason auth_reason(enum jwt_result r);

#endif
