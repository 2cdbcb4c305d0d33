#include "front/metrics_read.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mbedtls.h"
#include "conf/conf.h"
#include "worker/route_counters.h"
#include "worker/section.h"
#include "worker/worker.h"

/* --- the daemon ------------------------------------------------------------*/

double metrics_read_ready(const struct worker *w)
{
	return !atomic_load_explicit(&w->shared->leaving, memory_order_relaxed);
}

double metrics_read_connections(const struct worker *w)
{
	return (double)atomic_load_explicit(
		&w->shared->connections, memory_order_relaxed);
}

double metrics_read_connections_limit(const struct worker *w)
{
	return (double)w->shared->max_connections;
}

double metrics_read_queued(const struct worker *w)
{
	return (double)budget_used(&w->shared->budget);
}

double metrics_read_queued_limit(const struct worker *w)
{
	return (double)atomic_load_explicit(
		&w->shared->budget.limit, memory_order_relaxed);
}

double metrics_read_log_dropped(const struct worker *w)
{
	(void)w;
	return (double)log_dropped();
}

double metrics_read_reload_good(const struct worker *w)
{
	return atomic_load(&w->shared->reloads.last_good);
}

double metrics_read_reload_time(const struct worker *w)
{
	return (double)atomic_load(&w->shared->reloads.good_ms) / 1000;
}

int metrics_list_reloads(struct metrics_list *l, struct buf *out)
{
	const struct reloads *r = &l->worker->shared->reloads;

	return buf_add_printf(out,
		"%s{result=\"ok\"} %llu\n%s{result=\"failed\"} %llu\n", l->name,
		(unsigned long long)counter_read(&r->done[COUNT_OK]), l->name,
		(unsigned long long)counter_read(&r->done[COUNT_FAILED]));
}

int metrics_list_build(struct metrics_list *l, struct buf *out)
{
	return buf_add_printf(out, "%s{version=\"%s\",mbedtls=\"%s\"} 1\n",
		l->name, VERSION, MBEDTLS_VERSION_STRING);
}

static int write_time(struct buf *out, const char *metric, const char *label,
	const char *name, int64_t ms)
{
	return buf_add_printf(out, "%s{%s=\"%s\"} %.15g\n", metric, label, name,
		(double)ms / 1000);
}

int metrics_list_certificates(struct metrics_list *l, struct buf *out)
{
	for (size_t i = 0; i < l->conf->certificates_n; i++) {
		const struct conf_certificate *c = &l->conf->certificates[i];

		if (write_time(out, l->name, "certificate", c->section.name,
			    c->not_after) < 0)
			return -1;
	}
	return 0;
}

int metrics_list_crls(struct metrics_list *l, struct buf *out)
{
	for (size_t i = 0; i < l->conf->listens_n; i++) {
		const struct conf_listen *listen = &l->conf->listens[i];

		if (listen->client_crl &&
			write_time(out, l->name, "listen", listen->section.name,
				listen->client_crl_until) < 0)
			return -1;
	}
	return 0;
}

int metrics_list_paused_routes(struct metrics_list *l, struct buf *out)
{
	for (size_t i = 0; i < l->conf->routes_n; i++) {
		const struct conf_route *r = &l->conf->routes[i];

		if (buf_add_printf(out, "%s{route=\"%s\"} %d\n", l->name,
			    r->section.name,
			    !route_state_lets_in(r->state)) < 0)
			return -1;
	}
	return 0;
}

int metrics_list_worker_connections(struct metrics_list *l, struct buf *out)
{
	const struct shared *all = l->worker->shared;

	for (size_t i = 0; i < all->workers_n; i++)
		if (buf_add_printf(out, "%s{worker=\"%zu\"} %zu\n", l->name, i,
			    atomic_load_explicit(&all->workers[i]->connections,
				    memory_order_relaxed)) < 0)
			return -1;
	return 0;
}

/* --- the process -----------------------------------------------------------*/

double metrics_read_cpu(const struct worker *w)
{
	struct timespec ts;

	(void)w;
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) < 0)
		return -1;
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Bytes: of all that is mapped (0), of what is in memory (1); proc(5). */
static double read_memory(int which)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages[2];
	int n;

	if (!f)
		return -1;
	n = fscanf(f, "%lu %lu", &pages[0], &pages[1]);
	fclose(f);
	if (n != 2)
		return -1;
	return (double)pages[which] * (double)sysconf(_SC_PAGESIZE);
}

double metrics_read_resident(const struct worker *w)
{
	(void)w;
	return read_memory(1);
}

double metrics_read_virtual(const struct worker *w)
{
	(void)w;
	return read_memory(0);
}

double metrics_read_max_fds(const struct worker *w)
{
	struct rlimit limit;

	(void)w;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	return (double)limit.rlim_cur;
}

double metrics_read_start_time(const struct worker *w)
{
	return (double)w->shared->started_ms / 1000;
}

/* Names of the directory that are looked at before others have their turn. */
#define FDS_STEP 512

/*
 * The size of /proc/self/fd is their number from Linux 6.2 on; before, it is 0
 * and its names are counted, of which there may be a hundred thousand.
 */
int metrics_list_open_fds(struct metrics_list *l, struct buf *out)
{
	struct stat st;

	if (!l->fds) {
		if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
			return buf_add_printf(out, "%s %lld\n", l->name,
				(long long)st.st_size);
		l->fds = opendir("/proc/self/fd");
		if (!l->fds)
			return 0;
		l->fds_n = 0;
	}
	for (int i = 0; i < FDS_STEP; i++) {
		struct dirent *e = readdir(l->fds);

		if (!e) {
			metrics_list_fini(l);
			/* Our own is one of them. */
			return buf_add_printf(
				out, "%s %zu\n", l->name, l->fds_n - 1);
		}
		l->fds_n += e->d_name[0] != '.';
	}
	return 1;
}

void metrics_list_fini(struct metrics_list *l)
{
	if (l->fds)
		closedir(l->fds);
	l->fds = NULL;
}
