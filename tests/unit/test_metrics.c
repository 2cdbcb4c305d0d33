/* /metrics: what two workers have counted, as text, in parts. */
#include "front/metrics.h"

#include "relay_support.h"

#include "worker/route_counters.h"

static struct buf text;

static void open_two(void)
{
	relay_open_workers(ECHO, 2);
}

static void close_all(void)
{
	buf_free(&text);
	relay_close();
}

/* All of it; returns in how many parts it came. */
static int scrape(void)
{
	struct metrics *m = metrics_begin(worker);
	int parts = 0, more;

	assert_non_null(m);
	buf_free(&text);
	do {
		loop_share_begin(loop);
		more = metrics_write(m, &text);
		assert_true(more >= 0);
		parts++;
	} while (more > 0);
	metrics_free(m);
	assert_int_equal(buf_add(&text, "", 1, SIZE_MAX), 0);
	return parts;
}

static void expect_line(const char *line)
{
	char whole[200];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr((const char *)text.p, whole))
		fail_case((const char *)text.p, "there is no line: %s", line);
}

static void expect_nothing_of(const char *words)
{
	assert_null(strstr((const char *)text.p, words));
}

static struct route_counters *of(size_t i)
{
	return worker_route(workers[i], &gate.conf->routes[0]);
}

static void test_what_workers_count_is_added(void **state)
{
	(void)state;
	open_two();
	counter_add(&of(0)->opened, 5);
	counter_add(&of(1)->opened, 3);
	/* It came on one worker and went on another. */
	counter_add(&of(1)->closed, 6);
	counter_add(&of(0)->closes[REASON_IDLE], 6);
	counter_add(&of(0)->pauses[COUNT_BACKEND][COUNT_PAUSE_QUEUE], 4);
	scrape();
	expect_line("# TYPE wsrelayd_clients gauge");
	expect_line("wsrelayd_clients{route=\"r\"} 2");
	expect_line("# TYPE wsrelayd_closes_total counter");
	expect_line("wsrelayd_closes_total{route=\"r\",reason=\"idle\"} 6");
	expect_line("wsrelayd_pauses_total{route=\"r\",direction=\"to_client\","
		    "cause=\"queue\"} 4");
	expect_line(
		"wsrelayd_pauses_total{route=\"r\",direction=\"from_client\","
		"cause=\"rate\"} 0");
	close_all();
}

static void test_a_histogram(void **state)
{
#define SIZES(le, n)                                                           \
	expect_line("wsrelayd_message_size_bytes_bucket{route=\"r\","          \
		    "direction=\"from_client\",le=\"" le "\"} " n)
	(void)state;
	open_two();
	histogram_add(&of(0)->messages[COUNT_CLIENT], &histogram_sizes, 64);
	histogram_add(&of(1)->messages[COUNT_CLIENT], &histogram_sizes, 65);
	histogram_add(&of(1)->messages[COUNT_CLIENT], &histogram_sizes,
		UINT64_C(1) << 40);
	scrape();
	SIZES("64", "1");
	SIZES("256", "2");
	SIZES("16777216", "2");
	SIZES("+Inf", "3");
	expect_line("wsrelayd_message_size_bytes_sum{route=\"r\","
		    "direction=\"from_client\"} 1099511627905");
	expect_line("wsrelayd_message_size_bytes_count{route=\"r\","
		    "direction=\"from_client\"} 3");
	expect_line("wsrelayd_messages_total{route=\"r\","
		    "direction=\"from_client\"} 3");
	close_all();
#undef SIZES
}

static void test_times_are_in_seconds(void **state)
{
	(void)state;
	open_two();
	histogram_add_ms(&of(0)->pings[COUNT_BACKEND], &histogram_waits, 2);
	histogram_add(&workers[1]->loop->stats.turns, &histogram_work, 10000);
	scrape();
	expect_line("wsrelayd_ping_round_trip_seconds_bucket{route=\"r\","
		    "side=\"backend\",le=\"0.001\"} 0");
	expect_line("wsrelayd_ping_round_trip_seconds_bucket{route=\"r\","
		    "side=\"backend\",le=\"0.002\"} 1");
	expect_line("wsrelayd_ping_round_trip_seconds_sum{route=\"r\","
		    "side=\"backend\"} 0.002");
	expect_line("wsrelayd_worker_turn_duration_seconds_bucket{worker=\"1\","
		    "le=\"1e-05\"} 1");
	close_all();
}

/* What is not of a route, and has not occurred, has no line. */
static void test_what_no_route_has_is_quiet(void **state)
{
	(void)state;
	open_two();
	scrape();
	expect_nothing_of("route=\"\"");
	expect_nothing_of("reason=");
	expect_nothing_of("wsrelayd_ping_round_trip_seconds_");
	expect_line("wsrelayd_clients{route=\"r\"} 0");
	counter_add(&worker_route(worker, NULL)->refusals[REASON_HOST], 1);
	scrape();
	expect_line("wsrelayd_refusals_total{route=\"\",reason=\"host\"} 1");
	close_all();
}

static void test_a_reload(void **state)
{
	(void)state;
	open_two();
	metrics_note_reload(&gate.shared, true);
	metrics_note_reload(&gate.shared, false);
	scrape();
	expect_line("wsrelayd_config_reloads_total{result=\"ok\"} 1");
	expect_line("wsrelayd_config_reloads_total{result=\"failed\"} 1");
	expect_line("wsrelayd_config_last_reload_successful 0");
	close_all();
}

static void test_many_routes_come_in_parts(void **state)
{
	struct metrics *m;
	char name[20];

	(void)state;
	open_two();
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		assert_non_null(
			route_records_get(gate.shared.records, name, 1000));
	}
	assert_true(scrape() > 10);
	expect_line("wsrelayd_clients{route=\"r499\"} 0");
	/* No part is much longer than 16 KiB, and one may be the last. */
	m = metrics_begin(worker);
	buf_free(&text);
	loop_share_begin(loop);
	assert_int_equal(metrics_write(m, &text), 1);
	assert_true(text.n < 32 * 1024);
	metrics_free(m);
	close_all();
}

static void test_without_memory(void **state)
{
	struct metrics *m;

	(void)state;
	open_two();
	no_memory_at(1);
	assert_null(metrics_begin(worker));
	assert_true(no_memory_was());
	m = metrics_begin(worker);
	no_memory_at(1);
	loop_share_begin(loop);
	assert_int_equal(metrics_write(m, &text), -1);
	assert_true(no_memory_was());
	metrics_free(m);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_workers_count_is_added),
		cmocka_unit_test(test_a_histogram),
		cmocka_unit_test(test_times_are_in_seconds),
		cmocka_unit_test(test_what_no_route_has_is_quiet),
		cmocka_unit_test(test_a_reload),
		cmocka_unit_test(test_many_routes_come_in_parts),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
