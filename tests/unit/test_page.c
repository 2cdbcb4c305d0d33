/*
 * test_page.c: files and templates, asked for by well-behaved browsers and by
 * others. Each test has a directory of its own:
 *
 *   T/secret.txt   T/root/...   the page's root is T/root
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "codec/pattern.h"
#include "codec/token/jwt.h"
#include "conf/conf.h"
#include "gate/request.h"
#include "page/assets.h"
#include "page/docroot.h"
#include "page/mime.h"
#include "page/page.h"

#define NOW     INT64_C(1795000000123)
#define SECRET  "0123456789abcdef0123456789abcdef"
#define INSIDE  "inside\n"
#define OUTSIDE "outside\n"

struct fixture {
	char dir[64];
	char root[80];
	struct conf conf;
	struct conf_listen listens[2];
	struct conf_key key;
	struct conf_page pages[4];
	struct conf_route routes[3];
	struct request request;
	char path[256];
	struct page_visitor visitor;
	struct page_answer answer;
};

/* --- the directory --- */

static void in_dir(char out[256], const struct fixture *f, const char *name)
{
	int n = snprintf(out, 256, "%s/%s", f->dir, name);

	assert_true(n > 0 && n < 256);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	in_dir(path, f, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void put_dir(const struct fixture *f, const char *name)
{
	char path[256];

	in_dir(path, f, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void put_link(
	const struct fixture *f, const char *name, const char *target)
{
	char path[256];

	in_dir(path, f, name);
	assert_int_equal(symlink(target, path), 0);
}

static void put_fifo(const struct fixture *f, const char *name)
{
	char path[256];

	in_dir(path, f, name);
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_socket(const struct fixture *f, const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char path[256];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	in_dir(path, f, name);
	assert_true(strlen(path) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
}

/* --- the configuration and the request --- */

static struct pattern *parse(const char *text)
{
	const char *why;
	struct pattern *p = pattern_parse(text, &why);

	assert_non_null(p);
	return p;
}

static struct conf_page *add_page(struct fixture *f, const char *path)
{
	struct conf_page *p = &f->pages[f->conf.pages_n++];

	assert_true(f->conf.pages_n <= ARRAY_SIZE(f->pages));
	p->root = f->root;
	p->pattern = parse(path);
	p->key = &f->key;
	p->token_ttl = 60000;
	p->token_perm = JWT_READ;
	p->auth = CONF_AUTH_NONE;
	p->frame_ancestors = (char *)"self";
	return p;
}

static struct conf_route *add_route(
	struct fixture *f, const char *path, const char *param)
{
	struct conf_route *r = &f->routes[f->conf.routes_n++];

	assert_true(f->conf.routes_n <= ARRAY_SIZE(f->routes));
	r->pattern = parse(path);
	r->token_param = (char *)(uintptr_t)param;
	return r;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/test_page.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->root, sizeof(f->root), "%s/root", f->dir);
	assert_int_equal(mkdir(f->root, 0700), 0);
	put(f, "secret.txt", OUTSIDE);
	f->key.jwt = (struct jwt_key){ .name = "lab",
		.algorithm = JWT_HS256,
		.secret = (const uint8_t *)SECRET,
		.secret_n = strlen(SECRET),
		.max_ttl_ms = 3600000 };
	f->conf.pages = f->pages;
	f->conf.routes = f->routes;
	f->conf.listens = f->listens;
	f->conf.listens_n = ARRAY_SIZE(f->listens);
	f->request.head.method = STR("GET");
	f->request.host = STR("relay.test:8080");
	f->visitor = (struct page_visitor){
		.perm = JWT_READ_WRITE, .exp = JWT_NEVER, .expire_at = JWT_NEVER
	};
	f->answer.fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	page_answer_free(&f->answer);
	for (size_t i = 0; i < f->conf.pages_n; i++)
		pattern_free(f->pages[i].pattern);
	for (size_t i = 0; i < f->conf.routes_n; i++)
		pattern_free(f->routes[i].pattern);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void set_field(struct fixture *f, const char *name, const char *value)
{
	struct http_head *h = &f->request.head;

	h->fields[h->n].name = str_of(name);
	h->fields[h->n++].value = str_of(value);
}

/* The answer is in f->answer; the path is taken as already normalised. */
static enum reason ask(struct fixture *f, const char *path)
{
	struct page_match match;

	page_answer_free(&f->answer);
	if (f->conf.routes_n == 0) /* wsuris lead somewhere */
		add_route(f, "/{*}", NULL);
	assert_true(strlen(path) < sizeof(f->path));
	strcpy(f->path, path);
	f->request.path = str_of(f->path);
	if (!page_find(&f->conf, &f->listens[0], f->request.path, &match)) {
		f->answer.reason = REASON_NOT_FOUND;
		return REASON_NOT_FOUND;
	}
	page_answer(&f->answer, &match, &f->request, &f->visitor, NOW);
	if (f->answer.reason != REASON_NONE) {
		assert_int_equal(f->answer.fd, -1);
		assert_int_equal(f->answer.fields.n + f->answer.body.n, 0);
	}
	return f->answer.reason;
}

/* --- looking at answers --- */

/* What is sent, file or body; in memory of the test's own; free() it. */
static char *content(struct fixture *f)
{
	struct page_answer *a = &f->answer;
	char *text = calloc(1, a->size + 1);

	assert_non_null(text);
	if (a->fd >= 0) {
		assert_int_equal(read(a->fd, text, a->size), a->size);
	} else {
		assert_int_equal(a->body.n, a->size);
		if (a->size > 0)
			memcpy(text, a->body.p, a->size);
	}
	return text;
}

static void assert_content(struct fixture *f, const char *expected)
{
	char *text = content(f);

	assert_string_equal(text, expected);
	free(text);
}

static void assert_starts(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		fail_case(start, "it is %s", text);
}

/* The value of a field, "" when it is missing; free() it. Twice is wrong. */
static char *field(const struct fixture *f, const char *name)
{
	struct str fields = buf_str(&f->answer.fields);
	char *value = NULL;

	while (fields.n > 0) {
		const char *end = memmem(fields.p, fields.n, "\r\n", 2);
		const char *colon;

		assert_non_null(end);
		colon = memmem(fields.p, (size_t)(end - fields.p), ": ", 2);
		assert_non_null(colon);
		if (str_eq_nocase((struct str){ fields.p,
					  (size_t)(colon - fields.p) },
			    str_of(name))) {
			assert_null(value);
			value = str_dup((struct str){
				colon + 2, (size_t)(end - colon - 2) });
			assert_non_null(value);
		}
		fields.n -= (size_t)(end + 2 - fields.p);
		fields.p = end + 2;
	}
	if (!value)
		value = calloc(1, 1);
	assert_non_null(value);
	return value;
}

static void assert_field(
	const struct fixture *f, const char *name, const char *expected)
{
	char *value = field(f, name);

	assert_string_equal(value, expected);
	free(value);
}

/* --- finding --- */

static const char *found(struct fixture *f, size_t listen, const char *path)
{
	struct page_match m;

	if (!page_find(&f->conf, &f->listens[listen], str_of(path), &m))
		return "none";
	assert_ptr_equal(m.conf, &f->conf);
	return pattern_text(m.page->pattern);
}

static void test_find(void **state)
{
	struct fixture *f = *state;
	const struct conf_listen *second[] = { &f->listens[1] };
	struct conf_page *p;

	add_page(f, "/a");
	add_page(f, "/a/{x}");
	add_page(f, "/a/b/");
	p = add_page(f, "/");
	p->listens.v = second;
	p->listens.n = 1;
	assert_string_equal(found(f, 0, "/a"), "/a");
	assert_string_equal(found(f, 0, "/a/"), "/a");
	assert_string_equal(found(f, 0, "/a/c"), "/a/{x}");
	assert_string_equal(found(f, 0, "/a/b"), "/a/b/");
	assert_string_equal(found(f, 0, "/a/b/c/d"), "/a/b/");
	assert_string_equal(found(f, 0, "/ab"), "none");
	assert_string_equal(found(f, 0, "/"), "none");
	assert_string_equal(found(f, 1, "/ab"), "/");
	assert_string_equal(found(f, 1, "/a/b"), "/a/b/");
}

/* --- files --- */

static void test_file(void **state)
{
	struct fixture *f = *state;
	static char *const extra[] = { (char *)"X-Extra: 1" };

	put(f, "root/index.html", "<p>{{wsuri /sim/1}}");
	put(f, "root/a b.TXT", INSIDE);
	put(f, "root/empty", "");
	add_page(f, "/")->header = (struct conf_strings){
		(char **)(uintptr_t)extra, 1
	};
	assert_int_equal(ask(f, "/a%20b.TXT"), REASON_NONE);
	assert_int_equal(f->answer.status, 200);
	assert_int_equal(f->answer.size, strlen(INSIDE));
	assert_field(f, "Content-Type", "text/plain; charset=utf-8");
	assert_field(f, "Cache-Control", "no-cache");
	assert_field(f, "X-Content-Type-Options", "nosniff");
	assert_field(f, "Referrer-Policy", "no-referrer");
	assert_field(f, "Content-Security-Policy", "frame-ancestors 'self'");
	assert_field(f, "X-Extra", "1");
	assert_content(f, INSIDE);
	/* template = no: braces are text. */
	assert_int_equal(ask(f, "/"), REASON_NONE);
	assert_field(f, "Content-Type", "text/html; charset=utf-8");
	assert_content(f, "<p>{{wsuri /sim/1}}");
	assert_int_equal(ask(f, "/empty"), REASON_NONE);
	assert_field(f, "Content-Type", "application/octet-stream");
	assert_content(f, "");
	assert_int_equal(ask(f, "/nix"), REASON_NOT_FOUND);
}

static void test_head(void **state)
{
	struct fixture *f = *state;
	char *etag;

	put(f, "root/a.txt", INSIDE);
	add_page(f, "/");
	assert_int_equal(ask(f, "/a.txt"), REASON_NONE);
	etag = field(f, "ETag");
	f->request.head.method = STR("HEAD");
	assert_int_equal(ask(f, "/a.txt"), REASON_NONE);
	assert_field(f, "ETag", etag);
	assert_field(f, "Content-Type", "text/plain; charset=utf-8");
	assert_int_equal(f->answer.fd, -1);
	assert_int_equal(f->answer.body.n, 0);
	assert_int_equal(f->answer.size, strlen(INSIDE));
	assert_false(f->answer.size_unknown);
	free(etag);
}

static void test_directory(void **state)
{
	struct fixture *f = *state;

	put_dir(f, "root/sub dir");
	put(f, "root/sub dir/index.html", INSIDE);
	put(f, "root/index.html", "top");
	put_dir(f, "root/none");
	put_dir(f, "root/odd");
	put_dir(f, "root/odd/index.html");
	add_page(f, "/p");
	assert_int_equal(ask(f, "/p"), REASON_NONE);
	assert_int_equal(f->answer.status, 301);
	assert_field(f, "Location", "/p/");
	assert_field(f, "Cache-Control", "no-cache");
	assert_int_equal(f->answer.size, 0);
	assert_int_equal(ask(f, "/p/"), REASON_NONE);
	assert_content(f, "top");
	f->request.query = STR("token=x&y");
	assert_int_equal(ask(f, "/p/sub%20dir"), REASON_NONE);
	assert_int_equal(f->answer.status, 301);
	assert_field(f, "Location", "/p/sub%20dir/?token=x&y");
	assert_int_equal(ask(f, "/p/sub%20dir/"), REASON_NONE);
	assert_content(f, INSIDE);
	assert_int_equal(ask(f, "/p/none/"), REASON_NOT_FOUND);
	assert_int_equal(ask(f, "/p/odd/"), REASON_NOT_FOUND);
	assert_int_equal(ask(f, "/p/index.html/"), REASON_NOT_FOUND);
	assert_int_equal(ask(f, "/p/index.html/x"), REASON_NOT_FOUND);
}

/* Not under valgrind, for one: links are not followed there at all. */
static bool has_openat2(void)
{
	return syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0) >= 0 ||
	       errno != ENOSYS;
}

/* What names another file than one below root, or no file at all. */
static void test_traversal(void **state)
{
	static const char *const paths[] = {
		"/../secret.txt",
		"/sub/../../secret.txt",
		"/%2e%2e/secret.txt",
		"/%2E%2E%2Fsecret.txt",
		"/..%2fsecret.txt",
		"/sub%2f..%2f..%2fsecret.txt",
		"/%252e%252e/secret.txt",
		"//secret.txt",
		"/./in.txt",
		"/in.txt%00",
		"/in.txt%00.html",
		"/%00",
		"/in.txt%",
		"/%zz",
		"/sub//in.txt",
		"/%2fetc%2fpasswd",
		"//etc/passwd",
		"/up.txt",
		"/absolute.txt",
		"/updir/secret.txt",
		"/passwd",
		"/proc/self/environ",
		"/loop",
		"/dangling",
		"/fifo",
		"/socket",
		"/fifo/",
		"/null",
		"/tty",
		"/.hidden",
		"/.git/config",
		"/sub/.hidden",
		"/.",
		"/..",
		"/.well-known/.hidden",
		"/sub/.well-known/x",
		"/%2ehidden",
	};
	struct fixture *f = *state;

	put_dir(f, "root/sub");
	put_dir(f, "root/.git");
	put_dir(f, "root/.well-known");
	put_dir(f, "root/sub/.well-known");
	put(f, "root/in.txt", INSIDE);
	put(f, "root/.hidden", OUTSIDE);
	put(f, "root/.git/config", OUTSIDE);
	put(f, "root/sub/.hidden", OUTSIDE);
	put(f, "root/sub/.well-known/x", OUTSIDE);
	put(f, "root/.well-known/.hidden", OUTSIDE);
	put(f, "root/.well-known/security.txt", INSIDE);
	put_link(f, "root/up.txt", "../secret.txt");
	put_link(f, "root/absolute.txt", f->dir);
	put_link(f, "root/updir", "..");
	put_link(f, "root/passwd", "/etc/passwd");
	put_link(f, "root/proc", "/proc");
	put_link(f, "root/loop", "loop");
	put_link(f, "root/dangling", "nowhere");
	put_link(f, "root/null", "/dev/null");
	put_link(f, "root/tty", "/dev/tty");
	put_link(f, "root/same.txt", "sub/../in.txt");
	put_fifo(f, "root/fifo");
	put_socket(f, "root/socket");
	add_page(f, "/");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (ask(f, paths[i]) != REASON_NOT_FOUND)
			fail_case(paths[i], "status %d", f->answer.status);
	if (has_openat2()) {
		assert_int_equal(ask(f, "/same.txt"), REASON_NONE);
		assert_content(f, INSIDE);
	}
	assert_int_equal(ask(f, "/.well-known/security.txt"), REASON_NONE);
	assert_content(f, INSIDE);
}

/* The way without openat2 lets no more through. */
static void test_docroot_walking(void **state)
{
	static const char *const names[] = { "up.txt", "../secret.txt", "..",
		"sub/../../secret.txt", "link/in.txt", "fifo", "",
		"/etc/passwd", "sub//in.txt", "nix", "in.txt/x",
		"absolute.txt" };
	struct fixture *f = *state;
	struct stat st;
	int fd;

	put_dir(f, "root/sub");
	put(f, "root/sub/in.txt", INSIDE);
	put_link(f, "root/link", "sub");
	put_link(f, "root/up.txt", "../secret.txt");
	put_link(f, "root/absolute.txt", "/etc/passwd");
	put_fifo(f, "root/fifo");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (docroot_open_walking(f->root, names[i], &st) >= 0)
			fail_case(names[i], "was opened");
	fd = docroot_open_walking(f->root, "sub/in.txt", &st);
	assert_true(fd >= 0);
	assert_int_equal(st.st_size, strlen(INSIDE));
	close(fd);
	fd = docroot_open_walking(f->root, ".", &st);
	assert_true(fd >= 0 && S_ISDIR(st.st_mode));
	close(fd);
	assert_int_equal(docroot_open_walking("/nowhere", "x", &st), -1);
	assert_int_equal(docroot_open("/nowhere", "x", &st), -1);
	assert_int_equal(errno, ENOENT);
}

/* Nothing that is refused leaves a descriptor behind. */
static void test_no_descriptor_lost(void **state)
{
	struct fixture *f = *state;
	int before, after;

	put_dir(f, "root/sub");
	put(f, "root/a.json", "{{wsuri /a}}");
	put_fifo(f, "root/fifo");
	add_page(f, "/")->template = true;
	before = dup(0);
	assert_true(before >= 0);
	close(before);
	assert_int_equal(ask(f, "/fifo"), REASON_NOT_FOUND);
	assert_int_equal(ask(f, "/nix"), REASON_NOT_FOUND);
	assert_int_equal(ask(f, "/sub"), REASON_NONE);
	assert_int_equal(ask(f, "/a.json"), REASON_NONE);
	set_field(f, "Sec-Fetch-Site", "cross-site");
	assert_int_equal(ask(f, "/a.json"), REASON_CROSS_SITE);
	after = dup(0);
	assert_int_equal(after, before);
	close(after);
}

static void test_etag(void **state)
{
	static const struct {
		const char *before;
		bool with; /* the ETag stands between */
		const char *after;
		int status;
	} cases[] = {
		{ "", true, "", 304 },
		{ "W/", true, "", 304 },
		{ "\"x\", W/\"y\",", true, " , \"z\"", 304 },
		{ "*", false, "", 304 },
		{ "\"x\"", false, "", 200 },
		{ "", false, "", 200 },
		{ "x", true, "", 200 },
		{ "w/", true, "", 200 },
		{ "\"x\", \"y\"", false, "", 200 },
	};
	struct fixture *f = *state;
	char value[256];
	char *etag, *other;

	put(f, "root/a.html", INSIDE);
	add_page(f, "/")->template = true; /* without a placeholder */
	assert_int_equal(ask(f, "/a.html"), REASON_NONE);
	assert_content(f, INSIDE);
	etag = field(f, "ETag");
	assert_int_equal(etag[0], '"');
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->request.head.n = 0;
		snprintf(value, sizeof(value), "%s%s%s", cases[i].before,
			cases[i].with ? etag : "", cases[i].after);
		set_field(f, "if-none-match", value);
		assert_int_equal(ask(f, "/a.html"), REASON_NONE);
		if (f->answer.status != cases[i].status)
			fail_case(value, "status %d", f->answer.status);
		assert_field(f, "ETag", etag);
		assert_field(f, "Cache-Control", "no-cache");
		if (cases[i].status == 304) {
			assert_int_equal(f->answer.fd, -1);
			assert_int_equal(f->answer.size, 0);
			assert_field(f, "Content-Type", "");
		}
	}
	f->request.head.n = 0;
	put(f, "root/a.html", INSIDE "more");
	assert_int_equal(ask(f, "/a.html"), REASON_NONE);
	other = field(f, "ETag");
	assert_string_not_equal(etag, other);
	free(etag);
	free(other);
}

static void test_page_headers(void **state)
{
	static char *const lines[] = { (char *)"Cache-Control: max-age=3600",
		(char *)"referrer-policy: unsafe-url",
		(char *)"X-Content-Type-Options: x" };
	struct fixture *f = *state;
	struct conf_page *p = add_page(f, "/");

	p->header = (struct conf_strings){ (char **)(uintptr_t)lines, 3 };
	p->template = true;
	p->frame_ancestors = (char *)"self https://a.test  none *.b.test";
	put(f, "root/a.txt", INSIDE);
	put(f, "root/a.html", "{{wsuri /a}}");
	assert_int_equal(ask(f, "/a.txt"), REASON_NONE);
	assert_field(f, "Cache-Control", "max-age=3600");
	assert_field(f, "Referrer-Policy", "no-referrer");
	assert_field(f, "X-Content-Type-Options", "nosniff");
	assert_field(f, "Content-Security-Policy",
		"frame-ancestors 'self' https://a.test 'none' *.b.test");
	assert_int_equal(ask(f, "/a.html"), REASON_NONE);
	assert_field(f, "Cache-Control", "no-store");
	p->frame_ancestors = NULL;
	assert_int_equal(ask(f, "/a.txt"), REASON_NONE);
	assert_field(f, "Content-Security-Policy", "");
}

/* --- templates --- */

/* The token behind ?PARAM= in text, verified; jwt_free it, free() copy. */
static void token_of(struct fixture *f, const char *text, const char *param,
	struct jwt *t, char **copy)
{
	char start[64];
	const char *p, *why = "";
	size_t n;

	snprintf(start, sizeof(start), "?%s=", param);
	p = strstr(text, start);
	assert_non_null(p);
	p += strlen(start);
	n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		      "0123456789-_.");
	*copy = str_dup((struct str){ p, n });
	assert_non_null(*copy);
	assert_int_equal(jwt_parse(t, str_of(*copy), &why), JWT_OK);
	assert_int_equal(jwt_verify(t, &f->key.jwt), JWT_OK);
}

static char *rendered(struct fixture *f, const char *path)
{
	assert_int_equal(ask(f, path), REASON_NONE);
	assert_int_equal(f->answer.status, 200);
	assert_int_equal(f->answer.fd, -1);
	assert_field(f, "Cache-Control", "no-store");
	assert_field(f, "ETag", "");
	return content(f);
}

static void test_template(void **state)
{
	const char *why;
	struct fixture *f = *state;
	char *text, *token;
	struct jwt t;

	f->key.jwt.issuer = "https://relay.test";
	f->key.jwt.audience = "sims";
	put(f, "root/u.json", "{\"u\": \"{{wsuri /sim/42}}\"}\n");
	put(f, "root/p.html", "<a href='{{wspath /sim/{id}}}'>{{wsuri}}</a>");
	add_page(f, "/view/{id}")->template = true;
	text = rendered(f, "/view/7/u.json");
	assert_starts(text, "{\"u\": \"ws://relay.test:8080/sim/42?token=");
	assert_string_equal(text + strlen(text) - 3, "\"}\n");
	token_of(f, text, "token", &t, &token);
	assert_int_equal(
		jwt_check(&t, &f->key.jwt, NOW, STR("/sim/42"), &why), JWT_OK);
	assert_int_equal(jwt_check(&t, &f->key.jwt, NOW, STR("/sim/43"), &why),
		JWT_PATH);
	assert_int_equal(t.perm, JWT_READ);
	assert_int_equal(t.iat, NOW);
	assert_int_equal(t.exp, NOW + 60000);
	assert_int_equal(t.expire_at, JWT_NEVER);
	assert_string_equal(t.iss, "https://relay.test");
	assert_int_equal(t.aud_n, 1);
	assert_string_equal(t.aud[0], "sims");
	assert_null(t.origin);
	assert_int_equal(strlen(t.jti), 16);
	assert_int_equal(strlen(t.sub), strlen("anon-01234567"));
	assert_starts(t.sub, "anon-");
	jwt_free(&t);
	free(token);
	free(text);

	text = rendered(f, "/view/7/p.html");
	assert_field(f, "Content-Type", "text/html; charset=utf-8");
	assert_starts(text, "<a href='/sim/7?token=");
	assert_non_null(strstr(text, "'>{{wsuri}}</a>"));
	token_of(f, text, "token", &t, &token);
	assert_string_equal(t.path, "/sim/7");
	jwt_free(&t);
	free(token);
	free(text);
}

/* One view has one subject and as many tokens as placeholders. */
static void test_template_fresh(void **state)
{
	struct fixture *f = *state;
	char *text[2], *token[4];
	struct jwt t[4];

	put(f, "root/a.html", "{{wsuri /a}} {{wsuri /a}}");
	add_page(f, "/")->template = true;
	for (size_t i = 0; i < 2; i++) {
		text[i] = rendered(f, "/a.html");
		token_of(f, text[i], "token", &t[2 * i], &token[2 * i]);
		token_of(f, strchr(text[i], ' '), "token", &t[2 * i + 1],
			&token[2 * i + 1]);
		assert_string_equal(t[2 * i].sub, t[2 * i + 1].sub);
	}
	assert_string_not_equal(t[0].sub, t[2].sub);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(token[i], token[j]);
			assert_string_not_equal(t[i].jti, t[j].jti);
		}
	for (size_t i = 0; i < 4; i++) {
		jwt_free(&t[i]);
		free(token[i]);
	}
	free(text[0]);
	free(text[1]);
}

static void test_template_escapes(void **state)
{
	struct fixture *f = *state;
	char *text;
	static const struct {
		const char *name, *start;
	} cases[] = {
		{ "/e.html", "/a&amp;b&#39;c?token=" },
		{ "/e.htm", "/a&amp;b&#39;c?token=" },
		{ "/e.svg", "/a&amp;b&#39;c?token=" },
		{ "/e.js", "/a\\u0026b\\u0027c?token=" },
		{ "/e.mjs", "/a\\u0026b\\u0027c?token=" },
		{ "/e.json", "/a\\u0026b\\u0027c?token=" },
	};

	add_page(f, "/")->template = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[64];

		snprintf(name, sizeof(name), "root%s", cases[i].name);
		put(f, name, "{{wspath /a&b'c}}");
		text = rendered(f, cases[i].name);
		if (strncmp(text, cases[i].start, strlen(cases[i].start)) != 0)
			fail_case(cases[i].name, "%s", text);
		free(text);
	}
	/* Host comes from the client: whatever it is, it ends no string. */
	f->request.host = STR("\"</script><x>");
	put(f, "root/h.js", "'{{wsuri /a}}'");
	text = rendered(f, "/h.js");
	assert_starts(
		text, "'ws://\\u0022\\u003c/script\\u003e\\u003cx\\u003e/a");
	free(text);
	/* Other types are no templates. */
	put(f, "root/t.txt", "{{wsuri /a}}");
	assert_int_equal(ask(f, "/t.txt"), REASON_NONE);
	assert_content(f, "{{wsuri /a}}");
}

static enum jwt_perm minted_perm(
	struct fixture *f, enum jwt_perm page, enum jwt_perm visitor)
{
	enum jwt_perm perm;
	char *text, *token;
	struct jwt t;

	f->pages[0].token_perm = (int)page;
	f->visitor.perm = visitor;
	text = rendered(f, "/a.html");
	token_of(f, text, "token", &t, &token);
	perm = t.perm;
	jwt_free(&t);
	free(token);
	free(text);
	return perm;
}

static void test_perm_never_widened(void **state)
{
	struct fixture *f = *state;

	put(f, "root/a.html", "{{wsuri /a}}");
	add_page(f, "/")->template = true;
	for (int page = 1; page <= 3; page++)
		for (int visitor = 1; visitor <= 3; visitor++) {
			if ((page & visitor) == 0)
				continue;
			assert_int_equal(minted_perm(f, (enum jwt_perm)page,
						 (enum jwt_perm)visitor),
				page & visitor);
		}
	/* Nothing in common is not "no perm", which would mean every right. */
	f->pages[0].token_perm = JWT_WRITE;
	f->visitor.perm = JWT_READ;
	assert_int_equal(ask(f, "/a.html"), REASON_INTERNAL);
	assert_non_null(strstr(f->answer.why, "no right in common"));
}

static void test_claims(void **state)
{
	const char *why;
	struct fixture *f = *state;
	struct conf_page *p = add_page(f, "/");
	char *text, *token;
	struct jwt t;

	put(f, "root/a.html", "{{wsuri /a}}");
	p->template = true;
	p->token_subject = (char *)"class \"3\"";
	p->token_ttl = 2 * f->key.jwt.max_ttl_ms;
	text = rendered(f, "/a.html");
	token_of(f, text, "token", &t, &token);
	assert_string_equal(t.sub, "class \"3\"");
	assert_int_equal(t.exp, NOW + f->key.jwt.max_ttl_ms);
	assert_int_equal(
		jwt_check(&t, &f->key.jwt, NOW, STR("/a"), &why), JWT_OK);
	jwt_free(&t);
	free(token);
	free(text);
	p->key = NULL;
	assert_int_equal(ask(f, "/a.html"), REASON_INTERNAL);
}

/* Who was invited stays who he is, and not for longer than he was invited. */
static void test_invitation(void **state)
{
	static const struct {
		int64_t exp, expire_at; /* of the invitation */
		int64_t minted;         /* exp of what it mints */
	} cases[] = {
		{ NOW + 120000, JWT_NEVER, NOW + 60000 },
		{ NOW + 30000, JWT_NEVER, NOW + 30000 },
		{ NOW - 1000, JWT_NEVER, NOW - 1000 }, /* within the leeway */
		{ NOW + 120000, NOW + 3600000, NOW + 60000 },
		{ NOW + 120000, NOW + 20000, NOW + 20000 },
		{ NOW + 10000, NOW + 20000, NOW + 10000 },
	};
	struct conf_key door = { .section.name = (char *)"door" };
	struct fixture *f = *state;
	struct conf_page *p = add_page(f, "/");
	char *text, *token;
	struct jwt t;

	put(f, "root/a.html", "{{wsuri /a}}");
	p->template = true;
	p->token_subject = (char *)"everybody";
	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		bool other = i % 2;

		f->visitor.subject = "alice";
		f->visitor.subject_key = other ? &door : &f->key;
		f->visitor.exp = cases[i / 2].exp;
		f->visitor.expire_at = cases[i / 2].expire_at;
		text = rendered(f, "/a.html");
		token_of(f, text, "token", &t, &token);
		assert_string_equal(t.sub, "alice");
		assert_int_equal(t.exp, cases[i / 2].minted);
		assert_int_equal(t.expire_at, cases[i / 2].expire_at);
		if (other)
			assert_string_equal(t.sub_key, "door");
		else
			assert_null(t.sub_key);
		jwt_free(&t);
		free(token);
		free(text);
	}
	/* An invitation for nobody in particular: the page's own subject. */
	f->visitor.subject = NULL;
	f->visitor.subject_key = NULL;
	text = rendered(f, "/a.html");
	token_of(f, text, "token", &t, &token);
	assert_string_equal(t.sub, "everybody");
	assert_null(t.sub_key);
	jwt_free(&t);
	free(token);
	free(text);
}

static void expect_start(struct fixture *f, const char *start)
{
	char *text = rendered(f, "/a.html");

	assert_starts(text, start);
	free(text);
}

static void test_place_and_param(void **state)
{
	struct fixture *f = *state;
	const struct conf_listen *second[] = { &f->listens[1] };
	struct conf_page *p = add_page(f, "/");
	struct conf_route *r;

	put(f, "root/a.html", "{{wsuri /sim/1}}");
	p->template = true;
	r = add_route(f, "/sim/{id}", "elsewhere");
	r->host = (char *)"other.test";
	r = add_route(f, "/sim/{id}", "second");
	r->listens.v = second;
	r->listens.n = 1;
	/* No route has the path at this host and this listener. */
	assert_int_equal(ask(f, "/a.html"), REASON_INTERNAL);
	assert_string_equal(f->answer.why, "no route here has the path /sim/1");
	p->public_url = (char *)"wss://x.test";
	expect_start(f, "wss://x.test/sim/1?second=");
	f->conf.routes_n--; /* it may lead to another relay */
	expect_start(f, "wss://x.test/sim/1?token=");
	f->conf.routes_n++;
	p->public_url = NULL;
	r = add_route(f, "/{*}", "third");
	expect_start(f, "ws://relay.test:8080/sim/1?third=");
	r->token_param = NULL;
	expect_start(f, "ws://relay.test:8080/sim/1?token=");
	r->token_param = (char *)"third";
	f->request.secure = true;
	expect_start(f, "wss://relay.test:8080/sim/1?third=");
	p->public_url = (char *)"http://Other.Test:80";
	expect_start(f, "ws://Other.Test:80/sim/1?elsewhere=");
	p->public_url = (char *)"https://[::1]:81/";
	expect_start(f, "wss://[::1]:81/sim/1?second=");
	p->public_url = (char *)"wss://x.test";
	expect_start(f, "wss://x.test/sim/1?second=");
	p->public_url = (char *)"ws://x.test";
	expect_start(f, "ws://x.test/sim/1?second=");
}

static void test_cross_site(void **state)
{
	static const struct {
		const char *site;
		bool refused;
	} cases[] = {
		{ "same-origin", false },
		{ "none", false },
		{ "same-site", true },
		{ "cross-site", true },
		{ "", true },
		{ "something-new", true },
	};
	static const char *const names[] = { "a.js", "a.mjs", "a.json",
		"a.svg" };
	struct fixture *f = *state;
	char name[64];

	put(f, "root/a.html", "{{wsuri /a}}");
	put(f, "root/plain.js", "no placeholder");
	add_page(f, "/")->template = true;
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		snprintf(name, sizeof(name), "root/%s", names[n]);
		put(f, name, "'{{wsuri /a}}'");
		for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
			f->request.head.n = 0;
			f->request.head.method = i % 2 ? STR("HEAD")
						       : STR("GET");
			set_field(f, "sec-fetch-site", cases[i / 2].site);
			if (ask(f, name + 4) !=
				(cases[i / 2].refused ? REASON_CROSS_SITE
						      : REASON_NONE))
				fail_case(cases[i / 2].site, "%s", names[n]);
		}
	}
	f->request.head.method = STR("GET");
	f->request.head.n = 0;
	set_field(f, "Sec-Fetch-Site", "none");
	set_field(f, "Sec-Fetch-Site", "cross-site");
	assert_int_equal(ask(f, "/a.json"), REASON_CROSS_SITE);
	f->request.head.n = 0;
	assert_int_equal(ask(f, "/a.json"), REASON_NONE);
	assert_field(f, "Cross-Origin-Resource-Policy", "same-origin");
	/* A document is linked to; a file without a token is no secret. */
	set_field(f, "Sec-Fetch-Site", "cross-site");
	assert_int_equal(ask(f, "/a.html"), REASON_NONE);
	assert_field(f, "Cross-Origin-Resource-Policy", "");
	assert_int_equal(ask(f, "/plain.js"), REASON_NONE);
	assert_field(f, "Cache-Control", "no-cache");
}

static void test_template_head(void **state)
{
	struct fixture *f = *state;

	put(f, "root/a.html", "{{wsuri /a}}");
	add_page(f, "/")->template = true;
	f->pages[0].key = NULL; /* it could not mint if it would */
	f->request.head.method = STR("HEAD");
	assert_int_equal(ask(f, "/a.html"), REASON_NONE);
	assert_int_equal(f->answer.status, 200);
	assert_true(f->answer.size_unknown);
	assert_int_equal(f->answer.fd, -1);
	assert_int_equal(f->answer.body.n, 0);
	assert_field(f, "Cache-Control", "no-store");
	assert_field(f, "Content-Type", "text/html; charset=utf-8");
}

static void test_template_limits(void **state)
{
	static const char placeholder[] = "{{wspath /a}}";
	struct fixture *f = *state;
	char path[256];
	struct buf text = { 0 };

	add_page(f, "/")->template = true;
	for (int i = 0; i < PAGE_PLACEHOLDERS_MAX; i++)
		assert_int_equal(buf_add_str(&text, STR(placeholder)), 0);
	assert_int_equal(buf_add(&text, "", 1, SIZE_MAX), 0);
	put(f, "root/many.html", (char *)text.p);
	free(rendered(f, "/many.html"));
	text.n--;
	assert_int_equal(
		buf_add(&text, placeholder, sizeof(placeholder), SIZE_MAX), 0);
	put(f, "root/many.html", (char *)text.p);
	assert_int_equal(ask(f, "/many.html"), REASON_INTERNAL);
	assert_non_null(strstr(f->answer.why, "too many"));
	buf_free(&text);
	/* As large as it may be, and a byte larger. */
	put(f, "root/large.js", placeholder);
	in_dir(path, f, "root/large.js");
	assert_int_equal(truncate(path, PAGE_TEMPLATE_MAX), 0);
	free(rendered(f, "/large.js"));
	assert_int_equal(truncate(path, PAGE_TEMPLATE_MAX + 1), 0);
	assert_int_equal(ask(f, "/large.js"), REASON_NONE);
	assert_true(f->answer.fd >= 0);
	assert_int_equal(f->answer.size, PAGE_TEMPLATE_MAX + 1);
}

/* --- what is built in --- */

static void test_builtin(void **state)
{
	struct fixture *f = *state;
	struct page_answer *a = &f->answer;
	struct str asset = asset_get(STR("wsrelay.js"));
	char *etag;

	assert_true(asset.n > 1000);
	assert_true(asset_get(STR("try.html")).n > 1000);
	assert_null(asset_get(STR("wsrelay")).p);
	assert_null(asset_get(STR_NONE).p);
	assert_true(page_builtin(a, STR("/wsrelay.js"), &f->request));
	assert_int_equal(a->reason, REASON_NONE);
	assert_int_equal(a->status, 200);
	assert_true(str_eq(buf_str(&a->body), asset));
	assert_int_equal(a->size, asset.n);
	assert_field(f, "Content-Type", "text/javascript; charset=utf-8");
	assert_field(f, "X-Content-Type-Options", "nosniff");
	etag = field(f, "ETag");
	page_answer_free(a);
	f->request.head.method = STR("HEAD");
	assert_true(page_builtin(a, STR("/wsrelay.js"), &f->request));
	assert_int_equal(a->body.n, 0);
	assert_int_equal(a->size, asset.n);
	assert_field(f, "ETag", etag);
	page_answer_free(a);
	set_field(f, "If-None-Match", etag);
	assert_true(page_builtin(a, STR("/wsrelay.js"), &f->request));
	assert_int_equal(a->status, 304);
	free(etag);
	page_answer_free(a);
	assert_false(page_builtin(a, STR("/try.html"), &f->request));
	assert_false(page_builtin(a, STR("/x/wsrelay.js"), &f->request));
	assert_false(page_builtin(a, STR("/wsrelay.js/"), &f->request));
}

static void test_mime(void **state)
{
	static const char unknown[] = "application/octet-stream";
	(void)state;

	assert_string_equal(mime_of(STR("a/b.PNG"))->type, "image/png");
	assert_string_equal(mime_of(STR("b.js.map"))->type,
		"application/json; charset=utf-8");
	assert_string_equal(mime_of(STR("b.wasm"))->type, "application/wasm");
	assert_string_equal(mime_of(STR("html"))->type, unknown);
	assert_string_equal(mime_of(STR("a.html/b"))->type, unknown);
	assert_string_equal(mime_of(STR("a."))->type, unknown);
	assert_string_equal(mime_of(STR_NONE)->type, unknown);
}

#define WITH_FIXTURE(test)                                                     \
	cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_find),
		WITH_FIXTURE(test_file),
		WITH_FIXTURE(test_head),
		WITH_FIXTURE(test_directory),
		WITH_FIXTURE(test_traversal),
		WITH_FIXTURE(test_docroot_walking),
		WITH_FIXTURE(test_no_descriptor_lost),
		WITH_FIXTURE(test_etag),
		WITH_FIXTURE(test_page_headers),
		WITH_FIXTURE(test_template),
		WITH_FIXTURE(test_template_fresh),
		WITH_FIXTURE(test_template_escapes),
		WITH_FIXTURE(test_perm_never_widened),
		WITH_FIXTURE(test_claims),
		WITH_FIXTURE(test_invitation),
		WITH_FIXTURE(test_place_and_param),
		WITH_FIXTURE(test_cross_site),
		WITH_FIXTURE(test_template_head),
		WITH_FIXTURE(test_template_limits),
		WITH_FIXTURE(test_builtin),
		cmocka_unit_test(test_mime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
