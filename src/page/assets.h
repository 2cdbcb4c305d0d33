/*
 * assets.h: the files that are built into the program.
 */
#ifndef PAGE_ASSETS_H
#define PAGE_ASSETS_H

#include "base/compiler.h"
#include "base/str.h"

/*
 * The bytes of "wsrelay.js" (what pages connect with) or "try.html" (the page
 * of --try, a template); they live forever. STR_NONE: no such asset.
 */
struct str asset_get(struct str name);

#endif
