/*
 * Linked into a daemon that is built with ASan, its malloc, calloc and realloc
 * come before ASan's, for the libraries, too: the n-th call fails, or all from
 * there on, when the test says so.
 *
 * The test and the daemon share a page, the file that WSRELAY_OOM names (see
 * run, which writes it). Without the variable nothing ever fails.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sanitizer/common_interface_defs.h>

struct control {
	atomic_uint armed; /* calls are counted */
	atomic_uint n;     /* the call that fails; 0: none */
	atomic_uint all;   /* those behind it fail, too */
	atomic_uint calls, failed;
};

static struct control *control;
static _Thread_local bool inside;

/* ASan's own, which its dynamic runtime exports. */
void *__interceptor_malloc(size_t n);
void *__interceptor_calloc(size_t n, size_t size);
void *__interceptor_realloc(void *p, size_t n);

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("WSRELAY_OOM");
	int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		0);
	close(fd);
	if (p != MAP_FAILED)
		control = p;
}

static bool fails(void)
{
	unsigned call, n;

	if (!control || inside || !atomic_load(&control->armed))
		return false;
	call = atomic_fetch_add(&control->calls, 1) + 1;
	n = atomic_load(&control->n);
	if (n == 0 || call < n || (call > n && !atomic_load(&control->all)))
		return false;
	if (atomic_fetch_add(&control->failed, 1) == 0) {
		inside = true; /* this one allocates */
		__sanitizer_print_stack_trace();
		inside = false;
	}
	return true;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __interceptor_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __interceptor_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __interceptor_realloc(p, n);
}
