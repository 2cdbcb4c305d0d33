#include "no_memory.h"

#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static _Thread_local unsigned left; /* calls, with the one that fails */
static _Thread_local bool failed, paused;

void no_memory_at(unsigned n)
{
	left = n;
	failed = false;
}

void no_memory_pause(bool on)
{
	paused = on;
}

bool no_memory_was(void)
{
	left = 0;
	return failed;
}

static bool fails(void)
{
	if (paused || left == 0 || --left > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}
