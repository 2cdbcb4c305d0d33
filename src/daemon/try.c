/*
 * COMMAND -> an INI text -> the same way as any configuration. The key lives in
 * memory (a memfd, named through /proc), the page in a directory of its own.
 */
#include "daemon/try.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/random.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/program.h"
#include "net/listener.h"
#include "page/assets.h"

#ifndef DATADIR
#define DATADIR "/usr/local/share/wsrelayd"
#endif
#define PORT 8080

struct try_setup {
	struct buf ini;
	int key_fd;
	char dir[32]; /* "" = none was made */
	uint16_t port;
};

/* --- the command -------------------------------------------------------------------*/

/* The program's file, as the shell would find it. */
static char *find_program(struct str word)
{
	char *name, *found;

	if (!memchr(word.p, '/', word.n))
		return program_find(word);
	name = str_dup(word);
	found = name ? realpath(name, NULL) : NULL;
	free(name);
	return found;
}

/* Those who type sim.py often mean the file here, which PATH does not. */
static void complain_no_program(struct str word)
{
	char *name = str_dup(word);
	struct stat st;
	bool here = name && !strchr(name, '/') && stat(name, &st) == 0 &&
		    S_ISREG(st.st_mode);

	fprintf(stderr, "wsrelayd: --try: there is no program '%.*s'%s",
		(int)word.n, word.p, here ? " in PATH" : "\n");
	if (here)
		fprintf(stderr,
			"; for the file here say './%s' if it is "
			"executable, else 'python3 %s' or what else "
			"runs it\n",
			name, name);
	free(name);
}

/*
 * What only a shell understands. Inside of a word '|' and '&' are a pattern, or
 * an address with a query.
 */
static const char *find_shell(const char *command)
{
	const char *p = strpbrk(command, "'\"\\{}\n;<>");

	if (p)
		return p;
	for (p = command; *p; p++)
		if (strchr("|&", *p) &&
			(p == command || p[-1] == ' ' || p[1] == ' ' || !p[1]))
			return p;
	return NULL;
}

static int add_backend(struct buf *out, const char *command)
{
	const char *shell = find_shell(command);
	const char *end;
	struct str word;
	char *program;
	int failed;

	if (shell) {
		fprintf(stderr,
			"wsrelayd: --try: COMMAND is split at spaces and run "
			"without a shell, which %s is for: write the command "
			"into a file, such as run.sh, and say --try \"sh "
			"run.sh\"\n",
			*shell == '\n' ? "a second line"
				       : (char[]){ '\'', *shell, '\'', 0 });
		return -1;
	}
	command += strspn(command, " ");
	end = command + strcspn(command, " ");
	word = (struct str){ command, (size_t)(end - command) };
	if (word.n == 0) {
		fprintf(stderr, "wsrelayd: --try: COMMAND is empty\n");
		return -1;
	}
	program = find_program(word);
	if (!program) {
		complain_no_program(word);
		return -1;
	}
	failed = buf_add_printf(out, "backend = exec:%s%s\n", program, end);
	free(program);
	return failed;
}

/* --- what it needs beside the text ----------------------------------------------------*/

static int make_key(struct try_setup *t)
{
	uint8_t secret[32];
	char text[BASE64URL_LENGTH(sizeof(secret))];
	size_t n;

	if (random_bytes(NULL, secret, sizeof(secret)) < 0)
		return -1;
	n = base64url_encode(text, secret, sizeof(secret));
	t->key_fd = memfd_create("wsrelayd-key", MFD_CLOEXEC);
	return t->key_fd >= 0 && write(t->key_fd, text, n) == (ssize_t)n
		       ? fchmod(t->key_fd, 0600)
		       : -1;
}

static int write_file(const char *dir, const char *name, struct str content)
{
	char path[64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wx");
	if (!f)
		return -1;
	ok = fwrite(content.p, 1, content.n, f) == content.n;
	return fclose(f) == 0 && ok ? 0 : -1;
}

/* What the page fetches before each connect. The command has no quotes. */
static int write_wsuri(struct try_setup *t, const char *command)
{
	struct buf b = { 0 };
	int failed = buf_add_printf(&b,
			     "{\"wsuri\": \"{{wsuri /try}}\", "
			     "\"command\": \"%s\"}\n",
			     command) < 0 ||
		     write_file(t->dir, "wsuri.json", buf_str(&b)) < 0;

	buf_free(&b);
	return failed ? -1 : 0;
}

static int make_page(struct try_setup *t, const char *command)
{
	strcpy(t->dir, "/tmp/wsrelayd-try-XXXXXX");
	if (!mkdtemp(t->dir)) {
		t->dir[0] = '\0';
		return -1;
	}
	return write_file(t->dir, "index.html", asset_get(STR("try.html"))) <
				       0 ||
			       write_wsuri(t, command) < 0
		       ? -1
		       : 0;
}

/* The usual port when it is free, else any. */
static uint16_t free_port(void)
{
	struct addr a = {
		.ip = { 127, 0, 0, 1 }, .port = PORT, .family = ADDR_IPV4
	};
	int fd = listener_bind_tcp(&a);

	if (fd < 0) {
		a.port = 0;
		fd = listener_bind_tcp(&a);
	}
	if (fd < 0)
		return PORT;
	listener_address(fd, &a);
	close(fd);
	return a.port;
}

/* --- the text --------------------------------------------------------------------------*/

static int add_text(struct try_setup *t, const struct try_params *p)
{
	struct buf *out = &t->ini;
	char cwd[4096];
	char *root = p->root ? realpath(p->root, NULL) : NULL;
	int failed;

	if (p->root && !root) {
		fprintf(stderr, "wsrelayd: --root: %s: %s\n", p->root,
			strerror(errno));
		return -1;
	}
	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, "/");
	failed = buf_add_printf(out,
			 "[server]\nmax_connections = 100\n\n"
			 "[listen try]\naddress = 127.0.0.1:%u\n\n[key try]\n",
			 t->port) < 0 ||
		 (p->keep ? buf_add_str(out,
				    STR("; make it with: wsrelayctl key "
					"/etc/wsrelayd/try.key\n"
					"secret_file = /etc/wsrelayd/try.key"
					"\n"))
			  : buf_add_printf(out,
				    "secret_file = /proc/self/fd/%d\n",
				    t->key_fd)) < 0 ||
		 buf_add_printf(out,
			 "\n[page try]\npath = /\nroot = %s\n"
			 "template = yes\ntoken_key = try\ntoken_perm = rw\n\n"
			 "[route try]\npath = /try\n",
			 root      ? root
			 : p->keep ? DATADIR "/try"
				   : t->dir) < 0 ||
		 add_backend(out, p->command) < 0 ||
		 /* Many programs ignore the end of input: Ctrl-C is quick. */
		 buf_add_printf(
			 out, "exec_dir = %s\nclose_timeout = 1s\n", cwd) < 0 ||
		 buf_add(out, "", 1, SIZE_MAX) < 0;
	free(root);
	return failed ? -1 : 0;
}

struct try_setup *try_new(const struct try_params *p)
{
	struct try_setup *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->key_fd = -1;
	t->port = p->keep ? PORT : free_port();
	if (!p->keep && (make_key(t) < 0 ||
				(!p->root && make_page(t, p->command) < 0))) {
		fprintf(stderr, "wsrelayd: --try: %s\n", strerror(errno));
		goto fail;
	}
	if (add_text(t, p) < 0)
		goto fail;
	return t;
fail:
	try_free(t);
	return NULL;
}

void try_free(struct try_setup *t)
{
	static const char *const files[] = { "index.html", "wsuri.json" };
	char path[64];

	if (!t)
		return;
	for (size_t i = 0; t->dir[0] && i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", t->dir, files[i]);
		(void)unlink(path);
	}
	if (t->dir[0])
		(void)rmdir(t->dir);
	if (t->key_fd >= 0)
		close(t->key_fd);
	buf_free(&t->ini);
	free(t);
}

const char *try_ini(const struct try_setup *t)
{
	return (const char *)t->ini.p;
}

static struct conf *try_load(void *data, struct buf *errors)
{
	struct try_setup *t = data;

	return conf_load_text("--try", str_of(try_ini(t)), errors);
}

static void try_ready(void *data)
{
	struct try_setup *t = data;

	printf("\n    Open  http://127.0.0.1:%u/\n    Ctrl-C ends it.\n\n",
		t->port);
	fflush(stdout);
}

void try_source(struct try_setup *t, struct daemon_source *source)
{
	*source = (struct daemon_source){
		.load = try_load, .data = t, .ready = try_ready
	};
}
