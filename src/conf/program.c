#include "conf/program.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *program_path(void)
{
	const char *path = getenv("PATH");

	return path ? path : "/usr/local/bin:/usr/bin:/bin";
}

/* The x of a directory means something else. */
static bool is_program(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(file, X_OK) == 0;
}

char *program_find(struct str name)
{
	const char *rest = program_path();

	while (name.n > 0 && *rest) {
		size_t n = strcspn(rest, ":");
		char *file = NULL;

		if (*rest == '/' && asprintf(&file, "%.*s/%.*s", (int)n, rest,
					    (int)name.n, name.p) < 0)
			return NULL;
		if (file && is_program(file))
			return file;
		free(file);
		rest += n + (rest[n] == ':');
	}
	return NULL;
}
