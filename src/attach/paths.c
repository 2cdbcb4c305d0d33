#include "attach/paths.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

/* Both, as one path. */
static char *joined(const char *folder, const char *name)
{
	struct buf b = { 0 };

	if (buf_add_printf(&b, "%s/%s", folder, name) < 0 ||
		buf_add(&b, "", 1, SIZE_MAX) < 0) {
		buf_free(&b);
		return NULL;
	}
	return (char *)b.p;
}

char *paths_absolute(const char *path)
{
	char here[PATH_MAX];

	if (*path == '/' || !getcwd(here, sizeof(here)))
		return str_dup(str_of(path));
	return joined(here, path);
}

char *paths_of_token(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	/* A relative one does not count (XDG Base Directory Specification). */
	if (config && *config == '/')
		return joined(config, "wsrelay/token");
	return home && *home ? joined(home, ".config/wsrelay/token") : NULL;
}
