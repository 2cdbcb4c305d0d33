/*
 * mint.c: options -> a key of the INI file (and a private key) -> a token.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/str.h"
#include "codec/http/origin.h"
#include "codec/token/jwt.h"
#include "codec/token/jwt_private.h"
#include "codec/token/jwt_public.h"
#include "conf/conf.h"
#include "conf/keys.h"
#include "conf/value.h"
#include "gate/auth_reason.h"

static const struct conf_key *key_choose(
	const struct conf *conf, const char *name)
{
	const struct conf_key *key = name ? conf_find_key(conf, str_of(name))
					  : NULL;

	if (!name && conf->keys_n == 1)
		key = &conf->keys[0];
	if (key)
		return key;
	ctl_complain("%s; the file has %zu:",
		name ? "no key of this name" : "--key must say which key",
		conf->keys_n);
	for (size_t i = 0; i < conf->keys_n; i++)
		/* There are keys_n. NOLINTNEXTLINE(clang-analyzer-core.*) */
		fprintf(stderr, "\t%s\n", conf->keys[i].section.name);
	return NULL;
}

/* The whole file; NULL, and it is said. */
static struct jwt_private *private_read(const char *file)
{
	char pem[JWT_PEM_MAX + 1];
	struct jwt_private *private;
	const char *why = "";
	FILE *f = fopen(file, "re");
	size_t n;

	if (!f) {
		ctl_complain("--private-key: %s: %s", file, strerror(errno));
		return NULL;
	}
	setvbuf(f, NULL, _IONBF, 0); /* no second copy */
	n = fread(pem, 1, sizeof(pem), f);
	fclose(f);
	private = jwt_private_new((struct str){ pem, n }, random_bytes, &why);
	explicit_bzero(pem, n);
	if (!private)
		ctl_complain("--private-key: %s holds %s, expected a private "
			     "key in PEM",
			file, why);
	return private;
}

/* Whose other half the relay has: its name is the kid. -1, and it is said. */
static int signer_set_private(struct jwt_key *signer, const char *file)
{
	signer->private = private_read(file);
	if (!signer->private)
		return -1;
	for (size_t i = 0; i < signer->publics_n; i++) {
		const struct jwt_public *p = &signer->publics[i];

		if (!jwt_private_fits(signer->private, p))
			continue;
		if (p->kid)
			signer->name = p->kid;
		return 0;
	}
	ctl_complain("--private-key: %s belongs to no public key of "
		     "[key %s]",
		file, signer->name);
	return -1;
}

/* The key, with what it signs with. -1, and it is said. */
static int signer_init(struct jwt_key *signer, const struct jwt_key *key,
	const struct ctl_token_options *o)
{
	*signer = *key;
	if (o->private_key && key->publics_n > 0)
		return signer_set_private(signer, o->private_key);
	if (o->private_key)
		ctl_complain("--private-key: [key %s] has a secret", key->name);
	else if (!jwt_can_sign(key))
		ctl_complain("[key %s] can only verify, --private-key must say "
			     "what to sign with",
			key->name);
	return !o->private_key && jwt_can_sign(key) ? 0 : -1;
}

/* Nothing is given out that the relay would refuse. -1, and it is said. */
static int minted_check(
	struct str token, const struct jwt_key *key, const char *path)
{
	const char *why = NULL;
	struct jwt t;
	enum jwt_result r = jwt_parse(&t, token, &why);

	if (r == JWT_OK)
		r = jwt_verify(&t, key);
	if (r == JWT_OK)
		r = jwt_check(&t, key, clock_unix_ms(), str_of(path), &why);
	jwt_free(&t);
	if (r == JWT_OK)
		return 0;
	ctl_complain("the relay would refuse it: %s%s%s",
		reason_get(auth_reason(r))->word,
		r == JWT_MALFORMED ? ": " : "", r == JWT_MALFORMED ? why : "");
	return -1;
}

/* --- max_ttl --- */

static int add_time(struct buf *out, int64_t ms)
{
	const struct conf_page page = { .token_ttl = ms };

	return value_format(
		out, keys_find(SECTION_PAGE, STR("token_ttl")), &page, 0);
}

static bool is_key_line(const char *line, const char *key)
{
	size_t n = strlen(key);

	return strncmp(line, key, n) == 0 &&
	       line[n + strspn(line + n, " \t")] == '=';
}

/*
 * The line that sets a key in this section; 0: none does, or the file cannot be
 * read any more.
 */
static int find_line(const struct conf_section *section, const char *key)
{
	FILE *f = fopen(section->file, "re");
	char *line = NULL;
	size_t room = 0;
	int n = 0, found = 0;

	while (f && !found && getline(&line, &room, f) > 0) {
		n++;
		if (n > section->line && line[0] == '[')
			break;
		if (n > section->line && is_key_line(line, key))
			found = n;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static void complain_of_ttl(
	const struct ctl_token_options *o, const struct conf_key *key)
{
	const struct conf_section *s = &key->section;
	int line = find_line(s, "max_ttl");
	struct buf most = { 0 }, wanted = { 0 };

	if (add_time(&most, key->jwt.max_ttl_ms) == 0 &&
		add_time(&wanted, o->page.token_ttl) == 0)
		ctl_complain("--ttl is longer than the key's max_ttl, %.*s: "
			     "write max_ttl = %.*s %s %s:%d, [key %s]",
			(int)most.n, (const char *)most.p, (int)wanted.n,
			(const char *)wanted.p, line ? "in" : "behind", s->file,
			line ? line : s->line, s->name);
	buf_free(&most);
	buf_free(&wanted);
}

/* --- claims --- */

/* What the INI file's keys cannot check; also fits the claims to the key. */
static int claims_check(struct ctl_token_options *o, const struct conf_key *key)
{
	const char *why;

	if (o->page.token_ttl > key->jwt.max_ttl_ms) {
		if (o->ttl_given) {
			complain_of_ttl(o, key);
			return -1;
		}
		o->page.token_ttl = key->jwt.max_ttl_ms;
	}
	if (o->origin && origin_pattern_check(str_of(o->origin), &why) < 0) {
		ctl_complain("--origin: %s", why);
		return -1;
	}
	if (o->page.public_url && o->path[strlen(o->path) - 1] == '*') {
		ctl_complain("--url: a path with * is no single address");
		return -1;
	}
	return 0;
}

static void token_print(const struct ctl_token_options *o, struct str token)
{
	const char *url = o->page.public_url;

	if (url) /* a page's own scheme will do, too: http is ws */
		printf("%s%s%s?%s=", strncmp(url, "http", 4) == 0 ? "ws" : "",
			url + (strncmp(url, "http", 4) == 0 ? 4 : 0), o->path,
			o->route.token_param);
	printf("%.*s\n", (int)token.n, token.p);
}

/* random: where a jti that is made is kept. -1, and it is said. */
static int claims_init(struct jwt_claims *c, const struct ctl_token_options *o,
	const struct jwt_key *key, char random[BASE64URL_LENGTH(16) + 1])
{
	int64_t now = clock_unix_ms();
	int64_t whole = now - now % 1000; /* reads better, and is never late */
	int64_t ttl = o->page.token_ttl;

	*c = (struct jwt_claims){ .path = o->path,
		.iat_ms = whole,
		.exp_ms = ttl + (ttl % 1000 == 0 ? whole : now),
		.sub = o->page.token_subject,
		.jti = o->jti,
		.origin = o->origin,
		.issuer = key->issuer,
		.audience = key->audience,
		.perm = o->perm_given ? (enum jwt_perm)o->page.token_perm
				      : (enum jwt_perm)0,
		.expire_at_ms = JWT_NEVER };
	if (o->expire_at_given)
		c->expire_at_ms = o->route.max_session == 0
					  ? 0
					  : whole + o->route.max_session;
	if (!o->jti || strcmp(o->jti, "auto") != 0)
		return 0;
	c->jti = random;
	if (ctl_random_text(random, 16) == 0)
		return 0;
	ctl_complain("random bytes: %s", strerror(errno));
	return -1;
}

int ctl_mint(
	struct buf *token, struct ctl_token_options *o, const struct conf *conf)
{
	const struct conf_key *key = key_choose(conf, o->key);
	char jti[BASE64URL_LENGTH(16) + 1];
	struct jwt_claims claims;
	struct jwt_key signer = { 0 };
	size_t before = token->n;
	int result = -1;

	if (!key || claims_check(o, key) < 0 ||
		signer_init(&signer, &key->jwt, o) < 0 ||
		claims_init(&claims, o, &key->jwt, jti) < 0)
		goto done;
	if (jwt_mint(token, &signer, &claims) < 0)
		ctl_complain("no token could be made: a value is not UTF-8, "
			     "or a time is too far ahead");
	else
		result = minted_check((struct str){ (char *)token->p + before,
					      token->n - before },
			&key->jwt, o->path);
done:
	jwt_private_free((struct jwt_private *)(uintptr_t)signer.private);
	return result;
}

enum ctl_status ctl_mint_token(
	struct ctl_token_options *o, const struct conf *conf)
{
	struct buf token = { 0 };
	int result = ctl_mint(&token, o, conf);

	if (result == 0)
		token_print(o, buf_str(&token));
	buf_free(&token);
	return result == 0 ? CTL_OK : CTL_REFUSED;
}
