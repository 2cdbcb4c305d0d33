/*
 * docroot.h: opens files below a directory, and nothing else.
 */
#ifndef PAGE_DOCROOT_H
#define PAGE_DOCROOT_H

#include <sys/stat.h>

#include "base/compiler.h"

/*
 * Opens a regular file or a directory for reading; name is relative to root,
 * "." is root itself. Dots, absolute names and symbolic links that lead out
 * of root do not open (EXDEV), nor do sockets, FIFOs and devices (ENOENT);
 * none of them can block. The descriptor is the caller's; -1 with errno.
 */
MUST_CHECK int docroot_open(
	const char *root, const char *name, struct stat *st);
/*
 * The same without openat2: for kernels older than 5.6 and sandboxes that
 * know it not. Follows no symbolic link at all.
 */
MUST_CHECK int docroot_open_walking(
	const char *root, const char *name, struct stat *st);

#endif
