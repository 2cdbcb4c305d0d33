/*
 * identity.h: the subject of a token: its sub, in the words of the key that
 * signed it. The same sub from another key is another identity: it takes
 * neither the first one's driver's seat nor its place in a limit.
 *
 * An identity is a string, "KEY/SUB", so that equal strings are equal
 * identities; KEY is a section's name, which has no '/' in it.
 */
#ifndef GATE_IDENTITY_H
#define GATE_IDENTITY_H

#include "base/compiler.h"
#include "base/str.h"

/* The caller frees it. NULL without memory. */
MUST_CHECK char *identity_new(const char *key, const char *sub);
/* Its parts, borrowed; NULL and STR_NONE of NULL. */
const char *identity_subject(const char *identity);
struct str identity_key(const char *identity);

#endif
