/*
 * no_memory.h: an allocation fails when a test says so. The linker puts these
 * in front of malloc, calloc and realloc for the daemon's code and the tests'
 * (--wrap, see the Makefile), not for libraries.
 */
#ifndef TESTS_NO_MEMORY_H
#define TESTS_NO_MEMORY_H

#include <stdbool.h>

/* The n-th allocation of this thread from now on fails, once; 0: none does. */
void no_memory_at(unsigned n);
/* Whether it has; from now on none does. */
bool no_memory_was(void);
/* What a test allocates for itself in between is not counted. */
void no_memory_pause(bool on);

#endif
