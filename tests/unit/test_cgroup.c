/*
 * Control groups in a tree of plain files: what is written where, and what is
 * said when something is missing. (What the kernel makes of it:
 * tests/e2e/test_exec_limits.py.)
 */
#include "net/cgroup.h"

#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT "svc/w.service"

static char root[] = "/tmp/wsrelay-cgroup-XXXXXX";
static char self_file[64];
static struct cgroup_place place;
static char why[CGROUP_WHY];

/* --- the tree -------------------------------------------------------------------*/

static const char *at(const char *name)
{
	static char path[4][512];
	static int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", root, name);
	return p;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void expect(const char *name, const char *text)
{
	char got[256] = "";
	FILE *f = fopen(at(name), "r");

	assert_non_null(f);
	(void)!fread(got, 1, sizeof(got) - 1, f);
	fclose(f);
	assert_string_equal(got, text);
}

/* The kernel's files in a directory that it makes. */
static void put_group(const char *name)
{
	static const char *const files[] = { "cgroup.procs", "cgroup.kill",
		"cgroup.subtree_control", "memory.max", "memory.oom.group",
		"pids.max", "cpu.max" };
	char path[256];

	mkdir(at(name), 0755);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", name, files[i]);
		put(path, "");
	}
	snprintf(path, sizeof(path), "%s/cgroup.controllers", name);
	put(path, "cpuset cpu io memory pids\n");
	snprintf(path, sizeof(path), "%s/cgroup.events", name);
	put(path, "populated 0\nfrozen 0\n");
	snprintf(path, sizeof(path), "%s/memory.events", name);
	put(path, "low 0\noom 1\noom_kill 0\noom_group_kill 1\n");
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root + strlen(root) - 6, "XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(self_file, sizeof(self_file), "%s/self", root);
	place = (struct cgroup_place){ .mount = root, .self = self_file };
	put("self", "4:memory:/x\n0::/" UNIT "\n");
	put("cgroup.controllers", "cpuset cpu io memory pids\n");
	mkdir(at("svc"), 0755);
	put_group(UNIT);
	put_group(UNIT "/relay");
	put_group(UNIT "/program-1");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

/* --- taking ---------------------------------------------------------------------*/

static void test_take(void **state)
{
	struct cgroups *g = cgroup_take(&place, why);

	(void)state;
	assert_non_null(g);
	expect(UNIT "/relay/cgroup.procs", "0");
	expect(UNIT "/cgroup.subtree_control", "+memory +cpu +pids");
	cgroup_free(g);
	cgroup_free(NULL);
}

static void test_where_we_are(void **state)
{
	static const char *const lines[] = { "0::/" UNIT "\n",
		"0::/" UNIT "/relay\n", "0::/" UNIT "/.control\n",
		"1:name=systemd:/\n0::/svc/w.service" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		put("self", lines[i]);
		if (cgroup_check(&place, why) != CGROUP_GOOD)
			fail_case(lines[i], "%s", why);
	}
	expect(UNIT "/relay/cgroup.procs", ""); /* nothing was changed */
	put_group(".");                         /* as in a container */
	put("self", "0::/\n");
	assert_int_equal(cgroup_check(&place, why), CGROUP_GOOD);
}

/* All that is said of a tree that lacks something. */
static void expect_bad(enum cgroup_verdict verdict, const char *words)
{
	struct cgroups *g;

	assert_int_equal(cgroup_check(&place, why), verdict);
	if (!strstr(why, words))
		fail_case(words, "%s", why);
	g = cgroup_take(&place, why);
	assert_null(g);
	if (!strstr(why, words))
		fail_case(words, "%s", why);
}

static void test_system(void **state)
{
	(void)state;
	put("self", "4:memory:/x\n");
	expect_bad(CGROUP_IMPOSSIBLE, "names no control group of version 2");
	put("cgroup.controllers", "cpuset cpu pids memory_x\n");
	expect_bad(
		CGROUP_IMPOSSIBLE, "the kernel has no controller \"memory\"");
	unlink(at("cgroup.controllers"));
	expect_bad(CGROUP_IMPOSSIBLE,
		"there are no control groups of version 2 at");
}

static void test_not_delegated(void **state)
{
	(void)state;
	put(UNIT "/cgroup.controllers", "cpu memory\n");
	expect_bad(CGROUP_NOT_HERE, "has no controller \"pids\"; delegate it: "
				    "see exec-limits.conf");
	unlink(at(UNIT "/cgroup.subtree_control"));
	expect_bad(CGROUP_NOT_HERE, "may not be changed (No such file");
	put("self", "0::/nowhere\n");
	expect_bad(CGROUP_NOT_HERE, "/nowhere may not be changed");
}

static void test_cannot_be_taken(void **state)
{
	(void)state;
	unlink(at(UNIT "/relay/cgroup.kill"));
	assert_null(cgroup_take(&place, why));
	assert_string_equal(why, "the kernel is older than 5.14");
	unlink(at(UNIT "/relay/cgroup.procs"));
	assert_null(cgroup_take(&place, why));
	assert_non_null(strstr(why, "relay cannot be entered (No such file"));
}

/* --- a program's group --------------------------------------------------------------*/

static char *add(int64_t memory, int64_t cpu, int64_t processes)
{
	struct cgroups *g = cgroup_take(&place, why);
	char *group = cgroup_add(g,
		&(struct cgroup_limits){
			.memory = memory, .cpu = cpu, .processes = processes });

	cgroup_free(g);
	return group;
}

static void test_limits(void **state)
{
	char *group = add(512 << 20, 150, 20);

	(void)state;
	assert_string_equal(group, at(UNIT "/program-1"));
	expect(UNIT "/program-1/memory.max", "536870912");
	expect(UNIT "/program-1/memory.oom.group", "1");
	expect(UNIT "/program-1/cpu.max", "150000 100000");
	expect(UNIT "/program-1/pids.max", "20");
	free(group);
}

static void test_no_limits(void **state)
{
	char *group = add(0, 0, 0);

	(void)state;
	expect(UNIT "/program-1/memory.max", "");
	expect(UNIT "/program-1/memory.oom.group", "1");
	expect(UNIT "/program-1/cpu.max", "");
	expect(UNIT "/program-1/pids.max", "");
	free(group);
}

/* One that an earlier daemon has left is not joined. */
static void test_a_living_group_is_left_alone(void **state)
{
	char *group;

	(void)state;
	put(UNIT "/program-1/cgroup.events", "populated 1\nfrozen 0\n");
	put_group(UNIT "/program-2");
	group = add(1 << 20, 0, 0);
	assert_string_equal(group, at(UNIT "/program-2"));
	expect(UNIT "/program-1/memory.max", "");
	free(group);
}

static void test_a_group_without_its_limit(void **state)
{
	(void)state;
	unlink(at(UNIT "/program-1/cpu.max"));
	assert_null(add(0, 50, 0));
}

static void test_events(void **state)
{
	const char *group = at(UNIT "/program-1");

	(void)state;
	assert_false(cgroup_lives(group));
	assert_false(cgroup_ran_out(group));
	put(UNIT "/program-1/cgroup.events", "frozen 0\npopulated 1\n");
	put(UNIT "/program-1/memory.events", "oom 1\noom_kill 2\n");
	assert_true(cgroup_lives(group));
	assert_true(cgroup_ran_out(group));
	cgroup_kill(group);
	expect(UNIT "/program-1/cgroup.kill", "1");
	assert_int_equal(cgroup_remove(group), -1);
	assert_false(cgroup_lives(at("nowhere")));
	mkdir(at("empty"), 0755);
	assert_int_equal(cgroup_remove(at("empty")), 0);
}

#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TREE(test_take),
		IN_TREE(test_where_we_are),
		IN_TREE(test_system),
		IN_TREE(test_not_delegated),
		IN_TREE(test_cannot_be_taken),
		IN_TREE(test_limits),
		IN_TREE(test_no_limits),
		IN_TREE(test_a_living_group_is_left_alone),
		IN_TREE(test_a_group_without_its_limit),
		IN_TREE(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
