/*
 * proxy.h: reads the PROXY header in front of a client's first byte
 * ([listen] proxy_protocol), and not one byte more: what follows may be TLS.
 */
#ifndef FRONT_PROXY_H
#define FRONT_PROXY_H

struct front;

/*
 * Of a new connection, which was not read yet: turns away a peer that is no
 * proxy; else reads until the header is whole. Then the connection is as it
 * was, transport, callbacks and owner, and front_begin is called for the
 * client.
 */
void front_proxy_begin(struct front *f);
/* The header is not whole, and its time is over. */
void front_proxy_timeout(struct front *f);
void front_proxy_free(struct front *f);

#endif
