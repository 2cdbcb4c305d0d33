/*
 * Counts the allocations of the program that it is preloaded into, in the
 * first eight bytes of the file MALLOC_COUNT_FILE, where the load generator
 * reads them:
 *
 *   MALLOC_COUNT_FILE=count LD_PRELOAD=malloc_count.so program
 *
 * free() is not counted: in the long run there are as many as allocations.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names of what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* Until the file is mapped, what libraries allocate is counted here. */
static uint64_t early;
static uint64_t *counter = &early;

__attribute__((constructor)) static void counter_map(void)
{
	const char *file = getenv("MALLOC_COUNT_FILE");
	void *map;
	int fd;

	if (file == NULL)
		return;
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (ftruncate(fd, sizeof(uint64_t)) == 0) {
		map = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
		if (map != MAP_FAILED)
			counter = map;
	}
	close(fd);
}

static void count(void)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	count();
	return __libc_calloc(number, size);
}

void *realloc(void *p, size_t size)
{
	count();
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
	count();
	*p = __libc_memalign(alignment, size);
	return *p == NULL ? 12 : 0; /* ENOMEM */
}
