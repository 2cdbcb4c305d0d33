#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/random.h"

void ctl_complain(const char *format, ...)
{
	va_list ap;

	fflush(stdout); /* on a terminal it comes behind what was said */
	fputs("wsrelayctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int ctl_random_text(char *out, size_t n)
{
	uint8_t bytes[64];

	if (n > sizeof(bytes) || random_bytes(NULL, bytes, n) < 0)
		return -1;
	out[base64url_encode(out, bytes, n)] = '\0';
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}
