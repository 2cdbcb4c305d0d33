/*
 * check.h: what one key alone cannot know. Internal to conf/.
 */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "conf/build.h"

/*
 * Judges what was read, resolves names, loads secrets, and fills the members
 * that are "made of the above". Complaints go to the builder.
 */
void check_all(struct builder *b);

/* One section each; references between sections are resolved before. */
void check_listens(struct builder *b);
/* check_admin.c: that only the machine or named clients reach role = admin. */
void check_admin(struct builder *b, const struct conf_listen *l, size_t index);
void check_certificate(struct builder *b, struct conf_certificate *c);
void check_key(struct builder *b, struct conf_key *k, size_t index);
/* What it made: public keys. */
void check_key_free(struct conf_key *k);
void check_page(struct builder *b, struct conf_page *p, size_t index);
void check_route(struct builder *b, struct conf_route *r);
/*
 * check_attach.c: begin makes its entrance of the section alone, for what is
 * resolved then; behind check_route what its route has is put into it; free
 * what was made.
 */
void check_attach_begin(struct builder *b, struct conf_attach *a);
void check_attach(struct builder *b, struct conf_attach *a);
void check_attach_free(struct conf_attach *a);
/* attached: that its captures are the section's. */
void check_captures_are_of(struct builder *b, const struct conf_route *r,
	const struct conf_attach *a);
/*
 * The backend of a route, taken apart. -1 when not even its kind is known;
 * any other fault is a complaint only.
 */
MUST_CHECK int check_backend(struct builder *b, struct conf_route *r);
/*
 * What is said about TLS, behind check_certificate; of a route also behind
 * check_backend.
 */
void check_tls_listen(struct builder *b, struct conf_listen *l, size_t index);
void check_tls_route(struct builder *b, struct conf_route *r);
/*
 * The authorities of this file, read when it is named first. NULL after a
 * complaint at the key that named it first.
 */
MUST_CHECK const struct conf_ca *check_ca(
	struct builder *b, struct build_at at, const char *file);
/* The revocation lists of a listener whose client_ca is there. */
void check_crl(struct builder *b, struct conf_listen *l, size_t index);
/* Warnings: who gets in, or stays out, though the author may not mean it. */
void check_exposure(struct builder *b);
/* Warnings: what is hardly ever meant as it is written. */
void check_intent(struct builder *b);
/* Routes and pages that can never match, and routes that hide files. */
void check_covered(struct builder *b);

/* A deny that leaves nothing of an allow. */
void check_access(struct builder *b, struct build_at at,
	const struct cidr_list *allow, const struct cidr_list *deny);

/* Of a route, or of the entrance of an [attach]. */
static inline struct build_at check_at_route(
	const struct conf_route *r, const char *key)
{
	return (struct build_at){ r->attach ? SECTION_ATTACH : SECTION_ROUTE,
		r->index, key, 0 };
}

#endif
