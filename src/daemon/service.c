#include "daemon/service.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"

void service_notify(const char *state)
{
	(void)sd_notify(0, state); /* without a manager it does nothing */
}

void service_notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		(long long)clock_monotonic_us());
}

int64_t service_watchdog_ms(void)
{
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) <= 0)
		return 0;
	return us < 2000 ? 1 : (int64_t)(us / 2000);
}

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream. */
bool service_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char *end;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	device = strtoull(stream, &end, 10);
	if (*end != ':')
		return false;
	inode = strtoull(end + 1, &end, 10);
	return *end == '\0' && device == st.st_dev && inode == st.st_ino;
}

int service_listen_fds(struct service_fds *s)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*s = (struct service_fds){ 0 };
	if (n <= 0)
		return n;
	s->v = calloc((size_t)n, sizeof(*s->v));
	if (!s->v) {
		free(names);
		return -1;
	}
	s->n = n;
	for (int i = 0; i < n; i++)
		s->v[i] = (struct service_fd){ SD_LISTEN_FDS_START + i,
			names[i] };
	free(names);
	return 0;
}

void service_fds_free(struct service_fds *s)
{
	for (int i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	*s = (struct service_fds){ 0 };
}

int service_take_fd(struct service_fds *s, const char *name)
{
	for (int i = 0; i < s->n; i++) {
		int fd = s->v[i].fd;

		if (fd >= 0 && strcmp(s->v[i].name, name) == 0) {
			s->v[i].fd = -1;
			return fd;
		}
	}
	return -1;
}
