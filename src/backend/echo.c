/* echo: the messages of a client come back to it. */
#include "end/stream.h"
#include "backend/kind.h"

static struct attempt *echo_open(const struct backend_params *p)
{
	return backend_open_builtin(p, echo_end_new(p->worker));
}

const struct backend_kind backend_echo = {
	.open = echo_open,
	.cancel = backend_cancel_builtin,
};
