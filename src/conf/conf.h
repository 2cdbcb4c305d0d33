/*
 * conf.h: the configuration, checked and immutable.
 *
 *   files -> ini.h: lines -> keys.def: types, defaults, ranges
 *         -> check.c: what one key alone cannot know -> struct conf
 *
 * A snapshot is built in one go, never changed, and counted: every user holds a
 * reference. All errors of a run are collected, each as "FILE:LINE: [section]
 * key: what is wrong, what was expected".
 *
 * Units: sizes in bytes, times in milliseconds. Strings are NULL when the
 * key is empty. Lists are empty, never NULL-terminated.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/log_kind.h"
#include "codec/framing.h"
#include "codec/proxy.h"
#include "codec/token/jwt.h"

struct listen_state;
struct pattern;
struct route_state;

struct conf_strings {
	char **v;
	size_t n;
};

/* At most n in ms: 20/m is 20 in 60000; n = 0 is no limit. */
struct conf_rate {
	int64_t n;
	int64_t ms;
};

struct conf_address { /* one address = of a listener */
	enum { LISTEN_TCP, LISTEN_UNIX, LISTEN_FD } kind;
	struct addr addr; /* LISTEN_TCP */
	char *path;       /* LISTEN_UNIX: the path; LISTEN_FD: the name */
	char *text;       /* as written, or what a word for it means */
	bool if_ipv6;     /* LISTEN_TCP, of a word: not on a machine without */
};

struct conf_addresses {
	struct conf_address *v;
	size_t n;
};

/* What every section has. */
struct conf_section {
	char *name; /* "" for [server] */
	char *file;
	int line;          /* of its header */
	size_t pairs_from; /* build.c's own: where its lines begin */
};

enum conf_log_target { CONF_LOG_STDERR, CONF_LOG_JOURNAL };
enum conf_log_format { CONF_LOG_TEXT, CONF_LOG_JSON };

struct conf_server {
	struct conf_section section;
	char *user;
	int64_t workers; /* 0 = auto */
	int64_t max_connections;
	int64_t max_memory;
	int64_t drain_delay;
	int64_t drain_timeout;
	int log_target; /* enum conf_log_target */
	int log_level;  /* enum log_level */
	int log_format; /* enum conf_log_format */
	struct conf_strings log_events;
	char *control, *control_readonly; /* sockets' paths */
	char *state_directory;
	struct conf_strings include;
	/* made of the above */
	log_kinds log_hidden; /* the kinds that log_events leaves out */
};

/* A file of authorities in PEM; keys that name the same file share it. */
struct conf_ca {
	char *file;
	uint8_t *pem;
	size_t pem_n; /* the NUL at the end counted, as mbedTLS wants it */
	size_t index; /* in conf->cas */
};

/*
 * The system's authorities, for a backend with TLS that has no backend_ca: the
 * file is not at the same place everywhere. The first that is there; Debian's
 * when none is.
 */
const char *conf_system_ca(void);

struct conf_certificate {
	struct conf_section section;
	char *chain_file;
	char *key_file;
	/* made of the above: PEM, the NUL at the end counted */
	uint8_t *chain, *key;
	size_t chain_n, key_n;
	int64_t not_before, not_after;         /* Unix ms, of the leaf */
	bool not_for_servers, not_for_clients; /* its usages name others */
	size_t index;                          /* in conf->certificates */
};

struct conf_certificates { /* references into conf->certificates */
	const struct conf_certificate **v;
	size_t n;
};

enum conf_role { CONF_ROLE_PUBLIC, CONF_ROLE_ADMIN };

enum conf_tls_version { CONF_TLS_1_2, CONF_TLS_1_3 };

enum conf_tls_client {
	CONF_TLS_CLIENT_NONE,
	CONF_TLS_CLIENT_OPTIONAL,
	CONF_TLS_CLIENT_REQUIRED,
};

struct conf_listen {
	struct conf_section section;
	struct listen_state *state; /* see struct conf, forget */
	struct conf_addresses address;
	int role;                  /* enum conf_role */
	int64_t socket_mode;       /* of LISTEN_UNIX: the rights, 0 to 0777 */
	struct conf_strings hosts; /* as given; empty = by each address */
	int64_t handshake_timeout;
	int64_t keepalive_timeout;
	int64_t max_header;
	int64_t max_pending;
	int64_t max_connections_per_ip;
	struct conf_rate handshake_rate;
	struct conf_rate auth_failures;
	struct cidr_list trusted_proxies;
	bool proxy_protocol;
	struct cidr_list allow; /* empty = all */
	struct cidr_list deny;
	struct conf_strings certificates;
	int tls_min;    /* enum conf_tls_version */
	int tls_client; /* enum conf_tls_client */
	char *tls_client_ca;
	char *tls_client_crl;
	/* made of the above */
	struct conf_certificates use_certificates; /* empty = no TLS; the first
						      is the default */
	const struct conf_ca *client_ca;           /* NULL: none is asked for */
	uint8_t *client_crl; /* as mbedTLS reads it; NULL: nothing is revoked */
	size_t client_crl_n; /* the NUL at the end counted */
	int64_t client_crl_since, client_crl_until; /* Unix ms */
};

struct conf_key {
	struct conf_section section;
	int algorithm;                   /* enum jwt_algorithm */
	struct conf_strings secret_file; /* the first signs, both verify */
	char *public_key_file;
	char *jwks_file;
	char *issuer;
	char *audience;
	int64_t max_ttl;
	int64_t leeway;
	bool require_path;
	/* made of the above: the secret or the public keys are loaded */
	struct jwt_key jwt;
	bool mints; /* for pages with invitations: its tokens may say sub_key */
};

struct conf_keys { /* references into conf->keys */
	const struct conf_key **v;
	size_t n;
};

struct conf_listens { /* references into conf->listens; empty = all that
			 are public */
	const struct conf_listen **v;
	size_t n;
};

enum conf_auth { CONF_AUTH_TOKEN, CONF_AUTH_NONE };

struct conf_page {
	struct conf_section section;
	char *path;
	char *root;
	struct conf_strings listen;
	int auth; /* enum conf_auth */
	struct conf_strings keys;
	bool template;
	char *token_key;
	int64_t token_ttl;
	int token_perm; /* enum jwt_perm */
	char *token_subject;
	char *public_url;
	char *frame_ancestors;
	struct conf_strings header;
	struct cidr_list allow;
	struct cidr_list deny;
	/* made of the above */
	struct pattern *pattern;
	struct conf_listens listens;
	const struct conf_key *key; /* token_key; NULL = none */
	struct conf_keys use_keys;  /* whose invitations it takes */
};

enum conf_reject { CONF_REJECT_AUTO, CONF_REJECT_HTTP, CONF_REJECT_CLOSE };

enum conf_backend_kind {
	BACKEND_TCP,
	BACKEND_UNIX,
	BACKEND_WS,
	BACKEND_EXEC,
	BACKEND_ECHO,
	BACKEND_ROOM,     /* a hub without a backend */
	BACKEND_ATTACH,   /* a hub whose simulation connects to the relay */
	BACKEND_ATTACHED, /* built in: which of these there are */
};

struct conf_attach;

/* A backend = value, taken apart. Templates may hold {captures}. */
struct conf_backend {
	enum conf_backend_kind kind;
	bool tls;    /* tls://: BACKEND_TCP, wss://: BACKEND_WS */
	char *host;  /* tcp, ws: a template, without brackets */
	char *port;  /* tcp, ws: a template; ws has 80, wss 443 if none */
	char *path;  /* unix: the socket; ws: begins with '/', query excluded */
	char **argv; /* exec: templates, NULL-terminated; argv[0] absolute */
	size_t argc;
	const struct conf_attach *attach; /* attach, attached: the section */
	char *searched; /* exec: the name that argv[0] was found by in PATH;
			   NULL: it was given with its path */
};

/* reject origins "same" and "any" are told apart from a list. */
enum conf_origins { CONF_ORIGINS_SAME, CONF_ORIGINS_ANY, CONF_ORIGINS_LIST };

enum conf_backend_host {
	CONF_HOST_BACKEND,
	CONF_HOST_CLIENT,
	CONF_HOST_NAME,
};

enum conf_mode { CONF_MODE_PAIR, CONF_MODE_HUB };
enum conf_trunk { CONF_TRUNK_ON_DEMAND, CONF_TRUNK_ALWAYS };
enum conf_loss { CONF_LOSS_CLOSE, CONF_LOSS_HOLD };
enum conf_key_loss { CONF_KEY_LOSS_KEEP, CONF_KEY_LOSS_CLOSE };
enum conf_input { CONF_INPUT_ALL, CONF_INPUT_DRIVER };
enum conf_denied { CONF_DENIED_DROP, CONF_DENIED_CLOSE };
enum conf_addressing { CONF_ADDRESSING_NONE, CONF_ADDRESSING_TAGGED };
enum conf_slow { CONF_SLOW_CLOSE, CONF_SLOW_DROP_OLD, CONF_SLOW_LATEST };

struct conf_route {
	struct conf_section section;
	struct route_state *state; /* see struct conf, forget */
	char *path;
	char *host;
	struct conf_strings listen;
	char *backend;
	int framing; /* enum framing_id; after the checks never FRAMING_NONE,
			but for ws and echo */
	char *backend_host;
	struct cidr_list backend_allow;
	char *backend_ca;
	char *backend_certificate;
	char *backend_token_file;
	struct conf_strings exec_env;
	char *exec_dir;
	int64_t exec_memory; /* these three: 0 is no limit */
	int64_t exec_cpu;    /* percent of one processor */
	int64_t exec_processes;
	int64_t max_processes;
	int auth; /* enum conf_auth */
	bool backend_verify;
	bool single_use;
	bool tap;
	bool origins_same; /* made of origins: same is one of them */
	struct conf_strings keys;
	char *token_param;
	char *token_cookie;
	struct conf_strings origins;
	struct conf_strings client_subjects; /* empty = all */
	struct conf_strings subprotocols;
	int reject; /* enum conf_reject */
	int64_t max_message;
	int64_t max_backend_message;
	int64_t queue_limit;
	int64_t max_connections;
	int64_t max_connections_per_subject;
	int64_t message_rate;
	int64_t byte_rate;
	int64_t connect_timeout;
	int64_t idle_timeout;
	int64_t backend_idle_timeout;
	int64_t max_session;
	int64_t ping_interval;
	int64_t ping_timeout;
	int64_t close_timeout;
	int send_proxy; /* enum proxy_version */
	/* mode = hub */
	int mode;  /* enum conf_mode */
	int trunk; /* enum conf_trunk */
	int64_t linger;
	int input;           /* enum conf_input */
	int denied_input;    /* enum conf_denied */
	int addressing;      /* enum conf_addressing; tagged: a hub, no room */
	int on_backend_loss; /* enum conf_loss */
	int on_key_loss;     /* enum conf_key_loss */
	int64_t hold_timeout;
	int64_t replay;
	int64_t replay_bytes;
	int slow;      /* enum conf_slow */
	int slow_text; /* 0 = as slow, else enum conf_slow + 1 */
	int slow_binary;
	int64_t max_rate;
	int64_t max_hubs;
	struct cidr_list allow;
	struct cidr_list deny;
	/* made of the above */
	struct pattern *pattern;
	struct conf_backend to;
	struct conf_listens listens;
	struct conf_keys use_keys; /* keys, or all */
	const struct conf_ca *ca;  /* backend_ca or the system's; NULL: to.tls
				      is not set, or nothing is verified */
	const struct conf_certificate *use_backend_certificate; /* or NULL */
	int origins_kind;      /* enum conf_origins */
	int backend_host_kind; /* enum conf_backend_host */
	int slow_text_kind;    /* enum conf_slow */
	int slow_binary_kind;
	size_t index; /* in conf->routes, or as its attach's */
	/* NULL: this is a [route]. Else it is the entrance of that [attach]. */
	const struct conf_attach *attach;
};

enum conf_attach_conflict {
	CONF_CONFLICT_SAME,
	CONF_CONFLICT_REFUSE,
	CONF_CONFLICT_REPLACE,
};

/* A simulation that offers it is told first where it is, in one text message. */
#define CONF_ATTACH_PROTOCOL "wsrelay.attach.v1"

/* Where simulations connect to the relay. */
struct conf_attach {
	struct conf_section section;
	char *path;
	char *host;
	struct conf_strings listen;
	struct conf_strings keys;
	struct conf_strings client_subjects;
	int64_t max_connections;
	int64_t max_connections_per_subject;
	int64_t max_session;
	int on_key_loss;     /* enum conf_key_loss */
	int attach_conflict; /* enum conf_attach_conflict */
	char *watch_at;      /* a template */
	struct cidr_list allow;
	struct cidr_list deny;
	/* made of the above */
	const struct conf_route *serves; /* the one route that names it */
	/*
	 * What the gate, the limits and the end of a simulation's connection
	 * look at: the route that it serves, with the keys of this section in
	 * place of that one's. What it points to is theirs, but for its name,
	 * pattern, listens and use_keys.
	 */
	struct conf_route entrance;
	size_t index; /* in conf->attaches */
};

/* What a file held when it was read for a key of a section. */
struct conf_file {
	struct conf_file *next;
	size_t owner; /* the section, see build_number */
	char *name;
	uint8_t *p;
	size_t n;       /* the NUL at the end counted */
	bool everybody; /* every user of the machine may read it */
};

struct conf {
	atomic_uint references;
	/*
	 * Gives back what of its listeners and routes outlives it, their state:
	 * called in front of the end of a snapshot that is in use; NULL: it has
	 * none. That is of the rooms above.
	 */
	void (*forget)(struct conf *c);
	struct conf_file *files; /* what secrets, chains, ... point into */
	struct conf_server server;
	struct conf_listen *listens;
	size_t listens_n;
	struct conf_certificate *certificates;
	size_t certificates_n;
	struct conf_ca *cas; /* every file that a key names, once */
	size_t cas_n;
	struct conf_key *keys;
	size_t keys_n;
	struct conf_page *pages;
	size_t pages_n;
	struct conf_route *routes; /* file order: the first match wins */
	size_t routes_n;
	struct conf_attach *attaches; /* looked for in front of routes */
	size_t attaches_n;
};

/*
 * Reads a file with all that it includes, checks it, loads secrets. NULL when
 * anything is wrong: *errors then holds every complaint, one per line. With a
 * configuration, *errors may hold warnings ("FILE:LINE: warning: ...").
 */
MUST_CHECK struct conf *conf_load(const char *file, struct buf *errors);
/* Whether this line of *errors is a warning. */
bool conf_complaint_is_warning(struct str line);
/*
 * The same for making and explaining tokens: certificates, their keys and
 * authorities are not read, so that no right to read them is needed.
 */
MUST_CHECK struct conf *conf_load_for_tokens(
	const char *file, struct buf *errors);
/* The same from text in memory; name is the file's in complaints. */
MUST_CHECK struct conf *conf_load_text(
	const char *name, struct str text, struct buf *errors);
/*
 * The control key of a file, whatever else is wrong with it: a daemon may run
 * that was started when it was not. Owned; NULL: there is none, or no memory.
 */
MUST_CHECK char *conf_read_control(const char *file);
/*
 * The path without that key: in the first of the service's own directories
 * (RUNTIME_DIRECTORY, systemd.exec(5)), owned; NULL outside of a service. -1: no
 * memory.
 */
MUST_CHECK int conf_default_control(char **path);
/*
 * A new snapshot with the settings of c, section by section at the same
 * indices, for which every file that they name is read again: secrets,
 * certificates, keys, authorities. The INI files are not. A section with a file
 * that is no good keeps what c has for it: *kept is true then. *errors as for
 * conf_load; a complaint names the place of the section in its file. NULL: no
 * memory, or the new files of several sections do not go together.
 */
MUST_CHECK struct conf *conf_reread(
	const struct conf *c, struct buf *errors, bool *kept);
struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c);

/* Appends the effective configuration with every default, as an INI file. */
MUST_CHECK int conf_dump(struct buf *out, const struct conf *c);
/*
 * The same of its n-th section alone, of all kinds, from 0. 1: it was appended,
 * 0: there are no so many, -1: no memory.
 */
MUST_CHECK int conf_dump_section(
	struct buf *out, const struct conf *c, size_t n);
/*
 * Appends the reference file (conf/wsrelayd.ini): every key commented out
 * with its default, its range and what it means.
 */
MUST_CHECK int conf_reference(struct buf *out);

const struct conf_key *conf_find_key(const struct conf *c, struct str name);
const struct conf_route *conf_find_route(const struct conf *c, struct str name);
const struct conf_certificate *conf_find_certificate(
	const struct conf *c, struct str name);
const struct conf_attach *conf_find_attach(
	const struct conf *c, struct str name);

/*
 * The section of this snapshot that has the state of that one, of the same or
 * another; NULL: it has none. l may be NULL.
 */
const struct conf_route *conf_same_route(
	const struct conf *c, const struct conf_route *r);
const struct conf_listen *conf_same_listen(
	const struct conf *c, const struct conf_listen *l);
/* Whether both lead to the same backend in the same way. */
bool conf_same_way(const struct conf_route *a, const struct conf_route *b);

/*
 * Whether the Host value (a name or an address, without its port) is answered
 * by the listener on this local address. Without hosts = a LISTEN_FD answers
 * all: a caller that knows where such a socket is bound passes a LISTEN_TCP or
 * LISTEN_UNIX address instead.
 */
MUST_CHECK bool conf_listen_answers(const struct conf_listen *l,
	const struct conf_address *a, struct str host);
/*
 * Whether deny and allow let this address in. An empty allow is all; a list
 * lets Unix peers in only where it says unix.
 */
bool conf_admits(const struct cidr_list *allow, const struct cidr_list *deny,
	const struct addr *a);

#endif
