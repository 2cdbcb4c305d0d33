/*
 * auth_reason.h: what a token's result is called in logs, answers and
 * wsrelayd(8). The one map from results to reasons.
 */
#ifndef GATE_AUTH_REASON_H
#define GATE_AUTH_REASON_H

#include "base/reason.h"
#include "codec/token/jwt.h"

/* REASON_NONE of JWT_OK only. */
enum reason auth_reason(enum jwt_result r);

#endif
