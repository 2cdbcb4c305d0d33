/*
 * attach.h: wsrelayd --attach: a run, started here or connecting to us, is
 * attached to a relay (wsrelayd-attach(7)).
 *
 *   program --output--> source --bytes--> tee -> our standard output
 *      ^                  '----messages-> uplink -> outbox -> ws_end -> relay
 *      '----input------ source <--------- uplink <----------------------'
 *
 * The run is not held up, nor ended, by anything but its own output (tee) and,
 * if --slow block asks for it, the relay.
 */
#ifndef ATTACH_ATTACH_H
#define ATTACH_ATTACH_H

#include "base/compiler.h"

/* The arguments of main; descriptors 0 to 2 are open. The exit status. */
MUST_CHECK int attach_main(int argc, char **argv);

#endif
