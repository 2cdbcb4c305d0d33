/*
 * fds.h: descriptors 0 to 2.
 */
#ifndef BASE_FDS_H
#define BASE_FDS_H

/* They exist from now on, so that no socket ever becomes one of them. */
void fds_open_standard(void);

#endif
