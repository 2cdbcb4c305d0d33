/* What the processes of a relay have used so far. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PROCESSES_MAX 64

struct process {
	clockid_t clocks[PROCESSES_MAX];
	pid_t pids[PROCESSES_MAX];
	unsigned count;
};

struct process_use {
	uint64_t cpu_ns;    /* user and system */
	uint64_t own_bytes; /* resident anonymous memory */
};

/* Adds one, by its number as text. -1: there are too many, or it is not. */
int process_add(struct process *p, const char *pid);
void process_read(const struct process *p, struct process_use *out);
uint64_t process_cpu_ns(const struct process *p);

#endif
