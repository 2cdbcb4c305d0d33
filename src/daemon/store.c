#include "daemon/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/state.h"
#include "conf/conf.h"
#include "daemon/private.h"
#include "daemon/store_file.h"
#include "gate/admission.h"
#include "gate/revocations.h"
#include "gate/used_tokens.h"
#include "worker/letter.h"
#include "worker/mailbox.h"

#define REVOCATIONS "revocations"
#define USED_TOKENS "used-tokens"

enum order { ORDER_NONE, ORDER_WRITE, ORDER_END };

struct store {
	struct daemon *daemon;
	char *path;
	int dir;
	/*
	 * The thread that writes: it is there from the start on, for when memory
	 * is short it could not be made.
	 */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t ordered;
	enum order order; /* under the lock */
	/* What it says when it has; error is its own until then. */
	struct letter letter;
	int error; /* errno, 0: it is written */
	/* How often it was asked; how often when it began to write. */
	uint64_t asked, begun;
	TAILQ_HEAD(, store_wait) waits; /* in order */
};

/* --- the directory --------------------------------------------------------*/

/* -1: no memory. *path NULL: there is none. *key: the file has named it. */
static int find_path(const struct conf *conf, char **path, bool *key)
{
	const char *named = conf->server.state_directory;
	const char *first = getenv("STATE_DIRECTORY");

	*path = NULL;
	*key = named != NULL;
	if (named)
		first = strcmp(named, "none") == 0 ? NULL : named;
	else if (first && first[0] != '/')
		first = NULL;
	if (!first)
		return 0;
	/* The service manager puts colons between several. */
	*path = str_dup((struct str){
		first, named ? strlen(first) : strcspn(first, ":") });
	return *path ? 0 : -1;
}

static void complain(const char *path, bool key, const char *why)
{
	daemon_complain("wsrelayd: %s[server] state_directory: %s: %s\n",
		key ? "" : "warning: ", path, why);
}

/* -1 and *why. */
static int open_directory(const char *path, const char **why)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0 && faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0)
		return dir;
	*why = strerror(errno);
	if (dir >= 0)
		close(dir);
	return -1;
}

/* -1: it complained; what is only a default may be missing. */
static int take_directory(struct daemon *d, char *path, bool key)
{
	const char *why;
	int dir = open_directory(path, &why);
	struct store *s = dir < 0 ? NULL : calloc(1, sizeof(*s));

	if (s && flock(dir, LOCK_EX | LOCK_NB) == 0) {
		*s = (struct store){ .daemon = d,
			.path = path,
			.dir = dir,
			.lock = PTHREAD_MUTEX_INITIALIZER,
			.ordered = PTHREAD_COND_INITIALIZER };
		TAILQ_INIT(&s->waits);
		d->store = s;
		return 0;
	}
	if (s)
		why = errno == EWOULDBLOCK ? "another wsrelayd uses it"
					   : strerror(errno);
	else if (dir >= 0)
		why = "no memory";
	complain(path, key, why);
	if (dir >= 0)
		close(dir);
	free(s);
	free(path);
	return key ? -1 : 0;
}

int store_open(struct daemon *d)
{
	char *path;
	bool key;

	if (find_path(d->conf, &path, &key) < 0) {
		daemon_complain("wsrelayd: no memory\n");
		return -1;
	}
	return path ? take_directory(d, path, key) : 0;
}

int store_check(const struct conf *conf)
{
	const char *why;
	char *path;
	bool key;
	int dir = 0;

	if (find_path(conf, &path, &key) < 0)
		return -1;
	if (key && path) {
		dir = open_directory(path, &why);
		if (dir < 0)
			complain(path, key, why);
		else
			close(dir);
	}
	free(path);
	return dir < 0 ? -1 : 0;
}

const char *store_path(const struct daemon *d)
{
	return d->store ? d->store->path : NULL;
}

/* --- writing --------------------------------------------------------------*/

static void log_failure(const struct store *s, const char *name, int error)
{
	LOG(LOG_ERROR, "state-failed", F_STR("directory", s->path),
		F_STR("file", name), F_STR("detail", strerror(error)));
}

/* -1 with errno. */
static int write_revocations(struct store *s)
{
	struct buf text = { 0 };
	int result = -1, error;

	errno = ENOMEM;
	if (state_begin(&text) == 0 &&
		revocations_write(s->daemon->shared.revocations, &text,
			clock_unix_ms()) == 0 &&
		state_seal(&text) == 0)
		result = store_file_write(s->dir, REVOCATIONS, buf_str(&text));
	error = errno;
	buf_free(&text);
	errno = error;
	return result;
}

static void *write_when_ordered(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->order == ORDER_NONE)
			pthread_cond_wait(&s->ordered, &s->lock);
		if (s->order == ORDER_END)
			break;
		s->order = ORDER_NONE;
		pthread_mutex_unlock(&s->lock);
		s->error = write_revocations(s) < 0 ? errno : 0;
		mailbox_post(&s->daemon->mailbox, &s->letter);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* -1 with errno. */
static int start_thread(struct store *s)
{
	sigset_t all, before;
	int error;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&s->thread, NULL, write_when_ordered, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->has_thread = error == 0;
	if (s->has_thread)
		(void)pthread_setname_np(s->thread, "state");
	errno = error;
	return s->has_thread ? 0 : -1;
}

static void give_order(struct store *s, enum order order)
{
	pthread_mutex_lock(&s->lock);
	s->order = order;
	pthread_cond_signal(&s->ordered);
	pthread_mutex_unlock(&s->lock);
}

static void begin(struct store *s)
{
	s->begun = s->asked;
	give_order(s, ORDER_WRITE);
}

/* What it has begun is written then. */
static void end_thread(struct store *s)
{
	if (!s->has_thread)
		return;
	give_order(s, ORDER_END);
	(void)pthread_join(s->thread, NULL);
	s->has_thread = false;
}

static void written(struct worker *w, struct letter *l)
{
	struct store *s = CONTAINER_OF(l, struct store, letter);
	uint64_t begun = s->begun;
	struct store_wait *x;
	int error = s->error;

	(void)w; /* none: it is the main thread's mailbox */
	if (error)
		log_failure(s, REVOCATIONS, error);
	s->begun = 0;
	if (s->asked > begun)
		begin(s);
	while ((x = TAILQ_FIRST(&s->waits)) && x->serial <= begun) {
		store_forget(s->daemon, x);
		x->done(x, error ? strerror(error) : NULL);
	}
}

static void leave(struct letter *l)
{
	(void)l; /* a part of the store */
}

static const struct letter_kind written_kind = {
	.open = written,
	.free = leave,
};

void store_save(struct daemon *d, struct store_wait *w)
{
	struct store *s = d->store;

	s->asked++;
	if (w) {
		w->serial = s->asked;
		w->waits = true;
		TAILQ_INSERT_TAIL(&s->waits, w, next);
	}
	s->letter.kind = &written_kind;
	if (s->begun == 0)
		begin(s);
}

void store_forget(struct daemon *d, struct store_wait *w)
{
	if (!w->waits)
		return;
	TAILQ_REMOVE(&d->store->waits, w, next);
	w->waits = false;
}

/* --- reading --------------------------------------------------------------*/

struct loaded {
	struct daemon *daemon;
	int64_t now_ms;
	size_t n;         /* of what holds still */
	int64_t since_ms; /* -1: the file has no such record */
};

/* -1 and *why. */
static int use_revocation(
	struct loaded *l, const struct state_record *r, const char **why)
{
	*why = "it has another record in it";
	if (r->kind != STATE_REVOKED && r->kind != STATE_BANNED)
		return -1;
	if (r->until_ms <= l->now_ms)
		return 0;
	l->n++;
	*why = "it is too long";
	return revocations_add(l->daemon->shared.revocations, r, l->now_ms);
}

static int use_used(
	struct loaded *l, const struct state_record *r, const char **why)
{
	char key[STATE_KEY_MAX + 1];
	enum reason reason;

	*why = "it has another record in it";
	if (r->kind == STATE_SINCE) {
		l->since_ms = r->before_ms;
		return 0;
	}
	if (r->kind != STATE_USED)
		return -1;
	if (r->until_ms <= l->now_ms)
		return 0;
	l->n++;
	memcpy(key, r->key.p, r->key.n);
	key[r->key.n] = '\0';
	reason = used_tokens_add(
		admission_used_tokens(l->daemon->shared.admission), key, r->id,
		r->until_ms, l->now_ms);
	*why = "it is too long";
	/* TOKEN_USED: it is in it twice. */
	return reason == REASON_NONE || reason == REASON_TOKEN_USED ? 0 : -1;
}

typedef int use_record(
	struct loaded *l, const struct state_record *r, const char **why);

/* All of its lines are looked at before one is used. -1 and *why. */
static int read_text(
	struct loaded *l, struct str text, use_record *use, const char **why)
{
	struct str records, left;
	struct state_record r;
	int more;

	if (state_open(&records, text, why) < 0)
		return -1;
	*why = "a line of it is no record";
	left = records;
	while ((more = state_next(&left, &r)) > 0)
		;
	if (more < 0)
		return -1;
	while (state_next(&records, &r) > 0)
		if (use(l, &r, why) < 0)
			return -1;
	return 0;
}

/* What cannot be read, or is no good, is set aside. False: it was not there. */
static bool load(struct loaded *l, const char *name, use_record *use)
{
	struct store *s = l->daemon->store;
	struct buf text = { 0 };
	const char *why = NULL;
	int result = store_file_read(s->dir, name, &text);

	if (result < 0 && errno == ENOENT)
		return false;
	if (result < 0)
		why = strerror(errno);
	else
		result = read_text(l, buf_str(&text), use, &why);
	buf_free(&text);
	if (result == 0)
		return true;
	LOG(LOG_ERROR, "state-damaged", F_STR("directory", s->path),
		F_STR("file", name), F_STR("detail", why));
	if (store_file_set_aside(s->dir, name) < 0)
		log_failure(s, name, errno);
	return false;
}

int store_load(struct daemon *d)
{
	struct loaded revoked = { .daemon = d, .now_ms = clock_unix_ms() };
	struct loaded used = revoked;
	struct store *s = d->store;
	bool clean;

	if (!s)
		return 0;
	used.since_ms = -1;
	(void)load(&revoked, REVOCATIONS, use_revocation);
	clean = load(&used, USED_TOKENS, use_used) && used.since_ms >= 0;
	/* From here on its file would be older than what is used. */
	if (start_thread(s) < 0 || store_file_remove(s->dir, USED_TOKENS) < 0)
		return -1;
	if (clean)
		d->shared.used_since_ms = used.since_ms;
	LOG(LOG_INFO, "state", F_STR("directory", s->path),
		F_INT("revocations", revoked.n), F_INT("used_tokens", used.n),
		F_STR("stop", clean ? "clean" : "not known"));
	return 0;
}

/* --- the end --------------------------------------------------------------*/

/* -1 with errno. */
static int write_used(struct store *s)
{
	struct shared *shared = &s->daemon->shared;
	struct buf text = { 0 };
	int result = -1, error;

	errno = ENOMEM;
	if (state_begin(&text) == 0 &&
		state_add(&text,
			&(struct state_record){ .kind = STATE_SINCE,
				.before_ms = shared->used_since_ms }) == 0 &&
		used_tokens_write(admission_used_tokens(shared->admission),
			&text, clock_unix_ms()) == 0 &&
		state_seal(&text) == 0) {
		errno = EFBIG;
		if (text.n <= STORE_FILE_MAX)
			result = store_file_write(
				s->dir, USED_TOKENS, buf_str(&text));
	}
	error = errno;
	buf_free(&text);
	errno = error;
	return result;
}

void store_stop(struct daemon *d)
{
	struct store *s = d->store;

	if (!s)
		return;
	end_thread(s);
	if (s->asked > 0 && write_revocations(s) < 0)
		log_failure(s, REVOCATIONS, errno);
	if (write_used(s) < 0)
		log_failure(s, USED_TOKENS, errno);
}

void store_free(struct daemon *d)
{
	struct store *s = d->store;

	if (!s)
		return;
	end_thread(s);
	if (d->loop)
		mailbox_drop(&d->mailbox); /* the letter is a part of it */
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->ordered);
	close(s->dir);
	free(s->path);
	free(s);
	d->store = NULL;
}
