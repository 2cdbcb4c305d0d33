#include "gate/invitation.h"

#include <assert.h>
#include <stdio.h>

#include "codec/http/cookie.h"
#include "conf/conf.h"

#define PLAIN  "wsrelay-page-"
#define SECURE "__Secure-" PLAIN

const char *invitation_cookie(char name[INVITATION_NAME_MAX],
	const struct conf_page *page, bool secure)
{
	int n = snprintf(name, INVITATION_NAME_MAX, "%s%s",
		secure ? SECURE : PLAIN, page->section.name);

	assert(n > 0 && n < INVITATION_NAME_MAX);
	return name;
}

size_t invitation_cookies_strip(char *field, size_t n)
{
	n = cookie_without_prefix(field, (struct str){ field, n }, STR(PLAIN));
	return cookie_without_prefix(
		field, (struct str){ field, n }, STR(SECURE));
}
