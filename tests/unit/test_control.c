/* The control socket's protocol: requests, good and bad, in any pieces. */
#include "support.h"

#include "base/compiler.h"
#include "codec/control.h"

/* Reads from an exact block, so that ASan sees a read behind its end. */
static ssize_t read_exact(
	struct control_request *r, const char *text, size_t n, char *why)
{
	char *p = exact_copy(text, n);
	ssize_t used = control_read(r, p, n, why);

	free(p);
	return used;
}

static void expect_bad(const char *line, const char *says)
{
	struct control_request r;
	char why[CONTROL_WHY];

	assert_int_equal(read_exact(&r, line, strlen(line), why), strlen(line));
	assert_null(r.command);
	assert_null(r.object);
	assert_string_equal(why, says);
}

static void test_good(void **state)
{
	static const char line[] = "{\"command\":\"status\",\"uid\":7}\nnext";
	struct control_request r;
	char why[CONTROL_WHY];

	(void)state;
	assert_int_equal(read_exact(&r, line, strlen(line), why),
		strlen(line) - strlen("next"));
	assert_non_null(r.command);
	assert_string_equal(r.command->name, "status");
	assert_int_equal(r.uid, 7);
	assert_null(control_text(&r, "route"));
	assert_false(control_flag(&r, "slow"));
	assert_int_equal(control_number(&r, "n"), -1);
	assert_null(control_text_at(&r, "id", 0));
	control_request_free(&r);
}

static void test_split_at_every_byte(void **state)
{
	static const char line[] = " {\"command\" : \"routes\"}\r\n";
	struct control_request r;
	char why[CONTROL_WHY];

	(void)state;
	for (size_t n = 0; n < strlen(line); n++)
		assert_int_equal(read_exact(&r, line, n, why), 0);
	assert_int_equal(read_exact(&r, line, strlen(line), why), strlen(line));
	assert_string_equal(r.command->name, "routes");
	assert_int_equal(r.uid, -1);
	control_request_free(&r);
}

static void test_bad(void **state)
{
	static const char json[] =
		"not a JSON object, or one with a name twice";

	(void)state;
	expect_bad("\n", json);
	expect_bad("[]\n", json);
	expect_bad("status\n", json);
	expect_bad("{\"command\":\"status\"\n", json);
	expect_bad("{\"command\":\"status\",\"command\":\"status\"}\n", json);
	expect_bad("{\"command\":\"stat\\u0000us\"}\n", json);
	expect_bad("{\"command\":\"\xff\"}\n", json);
	expect_bad("[[[[[[[[[]]]]]]]]]\n", "JSON nested too deep");
	expect_bad("{}\n", "command: expected a string");
	expect_bad("{\"command\":1}\n", "command: expected a string");
	expect_bad("{\"command\":\"stat\"}\n", "there is no command 'stat'");
	expect_bad("{\"command\":\"status\",\"x\":1}\n",
		"status: there is no argument 'x'");
	expect_bad("{\"command\":\"status\",\"uid\":\"root\"}\n",
		"uid: expected an integer, 0 or more");
	expect_bad("{\"command\":\"status\",\"uid\":-1}\n",
		"uid: expected an integer, 0 or more");
}

static void test_length(void **state)
{
	char *text = malloc(CONTROL_LINE_MAX);
	struct control_request r;
	char why[CONTROL_WHY];

	(void)state;
	assert_non_null(text);
	memset(text, ' ', CONTROL_LINE_MAX);
	memcpy(text, "{\"command\":\"status\"}", 20);
	assert_int_equal(control_read(&r, text, CONTROL_LINE_MAX - 1, why), 0);
	assert_int_equal(control_read(&r, text, CONTROL_LINE_MAX, why), -1);
	assert_string_equal(why, "a request longer than 65536 bytes");
	text[CONTROL_LINE_MAX - 1] = '\n';
	assert_int_equal(control_read(&r, text, CONTROL_LINE_MAX, why),
		CONTROL_LINE_MAX);
	assert_string_equal(r.command->name, "status");
	control_request_free(&r);
	free(text);
}

/* What wsrelayctl and the daemon read from it. */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < control_commands_n; i++) {
		const struct control_command *c = &control_commands[i];

		assert_ptr_equal(control_find(str_of(c->name)), c);
		for (const struct control_argument *a = c->arguments; a->name;
			a++) {
			/* The first of a name would hide the second. */
			assert_ptr_equal(
				control_find_argument(c, str_of(a->name)), a);
			assert_string_not_equal(a->name, "command");
			assert_string_not_equal(a->name, "status");
			assert_string_not_equal(a->name, "uid");
			assert_true((a->type == CONTROL_FLAG) == !a->word);
		}
	}
	assert_null(control_find(STR("none")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_split_at_every_byte),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
