/*
 * test_cookie.c: one cookie of a Cookie field: found, refused, taken out.
 */
#include "support.h"

#include "base/compiler.h"
#include "codec/http/cookie.h"

static void test_find(void **state)
{
	static const struct {
		const char *field;
		ssize_t n;
		const char *value;
	} cases[] = {
		{ "", 0, NULL },
		{ "t=a", 1, "a" },
		{ "t=", 1, "" },
		{ "t=a=b==", 1, "a=b==" },
		{ "a=b; t=c", 1, "c" },
		{ "t=c; a=b", 1, "c" },
		{ "a=b; t=c; d=e", 1, "c" },
		{ "t=!#$%&'()*+-./:<=>?@[]^_`{|}~", 1,
			"!#$%&'()*+-./:<=>?@[]^_`{|}~" },
		{ "t=a; t=b", 2, "b" },
		{ "t=a; x=t; t=a; t=c", 3, "c" },
		/* Others. */
		{ "T=a", 0, NULL },
		{ "tt=a; at=b; t2=c", 0, NULL },
		{ "a=t; b=t=c", 0, NULL },
		{ "=t", 0, NULL },
		{ "a", 0, NULL },
		{ ";;; ; ;", 0, NULL },
		/* What is wrong with others is their own business. */
		{ "a=\"x y\"; b; =; c=,;d=\\;t=a", -1, NULL },
		{ "a=\"x y\"; b; =; c=,\xff;d=\\; t=a", 1, "a" },
		{ ";; t=a;", 1, "a" },
		/* Semicolons count, quotes do not. */
		{ "a=\"b; t=c\"", -1, NULL },
		{ "a=\"b; t=c; d=\"", 1, "c" },
		/* What others could take for it. */
		{ "t", -1, NULL },
		{ "a=b; t", -1, NULL },
		{ "t =a", -1, NULL },
		{ "t\t=a", -1, NULL },
		{ "t= a", -1, NULL },
		{ "t=a b", -1, NULL },
		{ "t=a ; b=c", -1, NULL },
		{ "a=b;t=c", -1, NULL },
		{ "a=b;  t=c", -1, NULL },
		{ "a=b;\tt=c", -1, NULL },
		{ " t=c", -1, NULL },
		{ "t=\"c\"", -1, NULL },
		{ "t=a,b", -1, NULL },
		{ "t=a\\b", -1, NULL },
		{ "t=\x80", -1, NULL },
		{ "t=\x7f", -1, NULL },
		{ "t=\x1f", -1, NULL },
		{ "t=a; t =b", -1, NULL },
		{ "t =a; t=b", -1, NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = strlen(cases[i].field);
		char *copy = exact_copy(cases[i].field, length);
		struct str value = STR_NONE;
		ssize_t n = cookie_find(
			(struct str){ copy, length }, STR("t"), &value);

		if (n != cases[i].n ||
			(n > 0 && !str_eq(value, str_of(cases[i].value))))
			fail_case(cases[i].field, "%zd: %.*s", n, (int)value.n,
				value.p);
		free(copy);
	}
}

static void test_without(void **state)
{
	static const struct {
		const char *field, *want;
	} cases[] = {
		{ "", "" },
		{ "t=a", "" },
		{ "t=a; t=b", "" },
		{ "a=b", "a=b" },
		{ "a=b; t=c", "a=b" },
		{ "t=c; a=b", "a=b" },
		{ "t=c;a=b;  d=e", "a=b;  d=e" },
		{ "a=b; t=c; d=e", "a=b; d=e" },
		{ "a=b; t=c; t=d; e=f; t", "a=b; e=f" },
		{ "a=\"b; t=c\"; d", "a=\"b; d" },
		{ " t = c ;\tT=x", "T=x" },
		{ "t =\"secret\"; a=b", "a=b" },
		{ "a;;b", "a;;b" },
		{ ";t=a;", ";" },
		{ ";a; t=b;; c", ";a;; c" },
		{ "t=a;", "" },
		{ "tt=a; xt=b", "tt=a; xt=b" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].field);
		char *in = exact_copy(cases[i].field, n);
		char *out = exact_copy(cases[i].field, n);
		size_t got = cookie_without(
			out, (struct str){ in, n }, STR("t"));

		if (!str_eq((struct str){ out, got }, str_of(cases[i].want)))
			fail_case(cases[i].field, "%.*s", (int)got, out);
		/* In its own place as well. */
		got = cookie_without(in, (struct str){ in, n }, STR("t"));
		if (!str_eq((struct str){ in, got }, str_of(cases[i].want)))
			fail_case(cases[i].field, "%.*s", (int)got, in);
		free(in);
		free(out);
	}
}

static void test_first(void **state)
{
	static const struct {
		const char *field;
		int n;
		const char *value;
	} cases[] = {
		{ "", 0, NULL },
		{ "a=b; tt=c", 0, NULL },
		{ "a=b; t=c; t=d", 1, "c" },
		{ "t=c; t =d", 1, "c" },
		{ "t=; t=d", 1, "" },
		{ "t=\"c\"; t=d", -1, NULL },
		{ "a=b;t=c", -1, NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = strlen(cases[i].field);
		char *copy = exact_copy(cases[i].field, length);
		struct str value = STR_NONE;
		int n = cookie_find_first(
			(struct str){ copy, length }, STR("t"), &value);

		if (n != cases[i].n ||
			(n > 0 && !str_eq(value, str_of(cases[i].value))))
			fail_case(cases[i].field, "%d: %.*s", n, (int)value.n,
				value.p);
		free(copy);
	}
}

static void test_without_prefix(void **state)
{
	static const struct {
		const char *field, *want;
	} cases[] = {
		{ "", "" },
		{ "t=a; tt=b; t-c", "" },
		{ "a=t; t=b; c=d; txt=e", "a=t; c=d" },
		{ " t =a; b=c", "b=c" },
		{ "at=b", "at=b" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].field);
		char *in = exact_copy(cases[i].field, n);
		size_t got = cookie_without_prefix(
			in, (struct str){ in, n }, STR("t"));

		if (!str_eq((struct str){ in, got }, str_of(cases[i].want)))
			fail_case(cases[i].field, "%.*s", (int)got, in);
		free(in);
	}
}

/* A long name, cut anywhere. */
static void test_every_byte(void **state)
{
	static const char field[] = "a=b; __Host-token=abc.def.ghi; c=d";
	const struct str name = STR("__Host-token");
	(void)state;

	for (size_t i = 0; i < sizeof(field); i++) {
		char *copy = exact_copy(field, i);
		struct str value = STR_NONE;
		ssize_t n = cookie_find((struct str){ copy, i }, name, &value);
		size_t left;

		assert_int_equal(n, i < 17 ? 0 : i < 18 ? -1 : 1);
		if (n == 1)
			assert_int_equal(value.n, i < 29 ? i - 18 : 11);
		left = cookie_without(copy, (struct str){ copy, i }, name);
		assert_int_equal(left, i < 4    ? i
				       : i < 17 ? i
				       : i < 30 ? 3
						: 3 + (i - 29));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_without),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_without_prefix),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
