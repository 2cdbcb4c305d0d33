#include "gate/subprotocol.h"

#include "codec/http/handshake.h"
#include "conf/conf.h"
#include "gate/request.h"

bool subprotocol_is_offered(const struct request *r, struct str name)
{
	struct handshake_offers o;
	struct str p;

	handshake_offers_init(&o, &r->head);
	while (handshake_offers_next(&o, &p))
		if (str_eq(p, name))
			return true;
	return false;
}

struct str subprotocol_select(
	const struct conf_route *route, const struct request *r)
{
	struct handshake_offers o;
	struct str p;

	handshake_offers_init(&o, &r->head);
	while (handshake_offers_next(&o, &p))
		for (size_t i = 0; i < route->subprotocols.n; i++)
			if (str_eq(p, str_of(route->subprotocols.v[i])))
				return p;
	return STR_NONE;
}
