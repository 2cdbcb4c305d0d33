#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

int random_bytes(void *unused, unsigned char *out, size_t n)
{
	(void)unused;
	while (n > 0) {
		ssize_t got = getrandom(out, n, 0);

		if (got < 0 && errno != EINTR)
			return -1;
		if (got > 0) {
			out += got;
			n -= (size_t)got;
		}
	}
	return 0;
}
