/*
 * ctl.h: what the files of wsrelayctl share. It is one thread that runs to
 * its end; all that is wrong is said on standard error where it is found.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "conf/conf.h"

#define CTL_DEFAULT_FILE "/etc/wsrelayd/wsrelayd.ini"
#define CTL_NO_ARGUMENTS                                                       \
	"tokens are never given as arguments, where every user of the "        \
	"machine can read them:\npass it on standard input, to "               \
	"wsrelayctl token --show -"

/* Exit statuses. UNREACHABLE: no daemon was asked, or it went away. */
enum ctl_status { CTL_OK, CTL_REFUSED, CTL_USAGE, CTL_UNREACHABLE };

/* A line on standard error. */
void ctl_complain(const char *format, ...) PRINTF_LIKE(1, 2);
/*
 * n random bytes (64 at most) as base64url; out has room for that and a NUL.
 * -1: errno.
 */
MUST_CHECK int ctl_random_text(char *out, size_t n);

/* Options of wsrelayctl token, of which invite has some. */
struct ctl_token_options {
	const char *file; /* NULL = the default, which may be absent */
	const char *key, *jti, *origin, *private_key;
	char *path; /* normalised; NULL = not given */
	bool show;
	bool ttl_given, perm_given, expire_at_given;
	/* read by the rows of these sections */
	struct conf_page page;   /* token_ttl, _perm, _subject, public_url */
	struct conf_route route; /* token_param; max_session: --expire-at */
};

/* Their defaults. -1, and it is said; free them in any case. */
MUST_CHECK int ctl_token_init(struct ctl_token_options *o);
/* One of those that a key of the INI file means, such as "ttl"; likewise. */
MUST_CHECK int ctl_token_set(
	struct ctl_token_options *o, const char *option, const char *text);
void ctl_token_options_free(struct ctl_token_options *o);
/* The configuration, as far as tokens need it; NULL, and it is said. */
MUST_CHECK struct conf *ctl_token_conf(const struct ctl_token_options *o);

/* file: -c before the command, or NULL. argv[0] is the command. */
enum ctl_status ctl_key_run(const char *file, int argc, char **argv);
enum ctl_status ctl_token_run(const char *file, int argc, char **argv);
enum ctl_status ctl_play_run(const char *file, int argc, char **argv);
enum ctl_status ctl_invite_run(const char *file, int argc, char **argv);
/*
 * Appends a token, nothing that the relay would refuse. Fits o to the key. -1,
 * and it is said.
 */
MUST_CHECK int ctl_mint(struct buf *token, struct ctl_token_options *o,
	const struct conf *conf);
/* The same, to standard output, with --url as a whole wsuri. */
enum ctl_status ctl_mint_token(
	struct ctl_token_options *o, const struct conf *conf);
/*
 * One token, or a wsuri with one in its parameter param, from standard input,
 * into text of CTL_TOKEN_TEXT bytes. -1: it complained.
 */
#define CTL_TOKEN_TEXT (2 * 8192)
MUST_CHECK int ctl_read_token(
	char *text, size_t size, const char *param, struct str *token);
/*
 * Explains the token on standard input; conf may be NULL. CTL_OK when the
 * relay would take it, as far as can be known.
 */
enum ctl_status ctl_show_token(
	const struct ctl_token_options *o, const struct conf *conf);

/* What is said before the command; it may be said behind it, too. */
struct ctl_global {
	const char *file, *socket; /* -c, --socket; NULL = not given */
	bool json;
};

/* Whether a running daemon is asked this; argv[0] is it. */
bool ctl_ask_knows(const char *name);
enum ctl_status ctl_ask_run(
	const struct ctl_global *global, int argc, char **argv);
/* Owned: where the daemon listens. NULL: it complained. */
MUST_CHECK char *ctl_ask_socket(const struct ctl_global *g);
/*
 * reload as a command of the daemon's unit, which knows its process: a SIGHUP,
 * and then the file is checked. CTL_REFUSED: it is bad.
 */
bool ctl_reload_can_signal(void);
enum ctl_status ctl_reload_by_signal(const char *file);
/* explain, by a file: the request's arguments are those of the command. */
struct json_t;
enum ctl_status ctl_explain_file(
	const char *file, struct json_t *request, bool json);
enum ctl_status ctl_top_run(
	const struct ctl_global *global, int argc, char **argv);
/* A line for each such command. */
void ctl_ask_help(FILE *out);

#endif
