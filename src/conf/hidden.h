/*
 * hidden.h: why a file that is there may not be there for a service: the unit's
 * ProtectHome= hides home directories (systemd.exec(5)).
 */
#ifndef CONF_HIDDEN_H
#define CONF_HIDDEN_H

/*
 * A note behind strerror(error) for this path, ", hidden by ..."; "" where that
 * is not the reason: it is no home directory's, or no service manager has
 * started us.
 */
const char *hidden_note(const char *path, int error);

#endif
