#include "attach/say.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/redact.h"

/*
 * A pipe that can be written takes PIPE_BUF bytes without waiting (pipe(7)),
 * which is more than a line here.
 */
static void write_line(const char *line, size_t n)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
		(void)!write(STDERR_FILENO, line, n);
}

static void vsay(const char *begin, const char *format, va_list ap)
{
	char line[SAY_MAX];
	size_t n = strlen(begin);

	memcpy(line, begin, n);
	vsnprintf(line + n, sizeof(line) - n - 1, format, ap);
	n = strlen(line);
	line[n] = '\n';
	write_line(line, n + 1);
}

void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsay("wsrelayd: ", format, ap);
	va_end(ap);
}

void say_plain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsay("", format, ap);
	va_end(ap);
}

const char *say_clean(char text[SAY_MAX], struct str words)
{
	char room[SAY_MAX];
	struct str s = redact_tokens(words, room, sizeof(room));
	size_t n = 0;

	/* Room for what is said around it. */
	while (s.n > 0 && n < SAY_MAX / 2) {
		size_t size = str_character(s);

		if (*s.p == '\n' || *s.p == '\r')
			break;
		if (size == 0 || (unsigned char)*s.p < ' ' || *s.p == 0x7f) {
			text[n++] = '?';
			size = 1;
		} else {
			memcpy(text + n, s.p, size);
			n += size;
		}
		s.p += size;
		s.n -= size;
	}
	text[n] = '\0';
	return text;
}
