/*
 * sections.h: the states of all sections, by kind and name (section.h).
 */
#ifndef DAEMON_SECTIONS_H
#define DAEMON_SECTIONS_H

#include "base/compiler.h"

#include <stddef.h>

struct conf;
struct route_records;
struct sections;

/* NULL without memory, or without random bytes. */
MUST_CHECK struct sections *sections_new(size_t workers_n);
/* What is counted for routes; lives as long as the sections. */
struct route_records *sections_records(struct sections *s);
/* No snapshot is left that was adopted. */
void sections_free(struct sections *s);

/*
 * Gives each route and listener of a new snapshot its state: that of an earlier
 * one with its name, if any snapshot still has that; else a new one. They are
 * given back with the last reference to the snapshot, by whatever thread has
 * it. -1 without memory: the snapshot has none.
 */
MUST_CHECK int sections_adopt(struct sections *s, struct conf *c);
/*
 * All threads have ended: hubs that are listed still, and hold snapshots, are
 * let go.
 */
void sections_close(struct sections *s);

#endif
