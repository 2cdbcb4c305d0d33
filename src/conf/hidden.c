#include "conf/hidden.h"

#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "base/str.h"

const char *hidden_note(const char *path, int error)
{
	static const struct str homes[] = { STR("/home/"), STR("/root/"),
		STR("/run/user/") };

	/* Set for every process of a unit (systemd.exec(5)). */
	if ((error != ENOENT && error != EACCES) || !getenv("INVOCATION_ID"))
		return "";
	for (size_t i = 0; i < ARRAY_SIZE(homes); i++)
		if (str_starts(str_of(path), homes[i]))
			return " (ProtectHome= of the service hides home "
			       "directories: see exec.conf)";
	return "";
}
