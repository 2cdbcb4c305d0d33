/*
 * check_admin.c: a listener with role = admin tells how the relay is used. It
 * is for this machine, or for those that the file names.
 */
#include "conf/check.h"

static bool is_of_this_machine(const struct conf_address *a)
{
	switch (a->kind) {
	case LISTEN_TCP:
		return addr_is_loopback(&a->addr);
	case LISTEN_UNIX:
		return true;
	case LISTEN_FD:
		return false; /* the service manager decides where it is */
	}
	return false;
}

void check_admin(struct builder *b, const struct conf_listen *l, size_t index)
{
	const struct build_at role = { SECTION_LISTEN, index, "role", 0 };
	const char *bounds[] = { "address", "allow", "tls_client" };

	if (l->role != CONF_ROLE_ADMIN || l->allow.n > 0 ||
		l->tls_client == CONF_TLS_CLIENT_REQUIRED)
		return;
	/* What was refused there may have been what is missing here. */
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
		if (build_is_bad(b, (struct build_at){ SECTION_LISTEN, index,
					    bounds[i], 0 }))
			return;
	for (size_t i = 0; i < l->address.n; i++)
		if (!is_of_this_machine(&l->address.v[i])) {
			build_error(b, role,
				"is admin, and %s may be reached from "
				"elsewhere, expected loopback or unix: "
				"addresses, or allow or tls_client = required "
				"beside it",
				l->address.v[i].text);
			return;
		}
}
