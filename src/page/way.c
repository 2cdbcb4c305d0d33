#include "page/way.h"

#include "conf/conf.h"
#include "gate/gate.h"
#include "gate/request.h"

bool way_is_health(const struct request *r)
{
	return !r->upgrade && (str_eq(r->path, STR("/healthz")) ||
				      str_eq(r->path, STR("/readyz")));
}

void way_find(struct way *w, const struct conf *conf,
	const struct conf_listen *listen, const struct request *r)
{
	*w = (struct way){ .kind = WAY_NOWHERE };
	if (listen->role == CONF_ROLE_ADMIN) {
		w->kind = WAY_ADMIN;
		return;
	}
	/* A route that has its path, too, takes upgrades only. */
	if (!r->upgrade && page_is_on_listener(conf, listen) &&
		page_is_builtin(r->path)) {
		w->kind = WAY_BUILTIN;
		return;
	}
	w->route = gate_find_route(conf, listen, r, &w->captures);
	if (w->route)
		w->kind = WAY_ROUTE;
	else if (!r->upgrade && page_find(conf, listen, r->path, &w->page))
		w->kind = WAY_PAGE;
	/* Also where the page is for invited people only. */
	if (w->kind != WAY_ROUTE && !r->upgrade &&
		page_is_on_listener(conf, listen) &&
		page_lacks_icon(w->kind == WAY_PAGE ? &w->page : NULL, r->path))
		w->kind = WAY_BUILTIN;
}
