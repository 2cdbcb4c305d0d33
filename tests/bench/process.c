#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int process_add(struct process *p, const char *pid)
{
	if (p->count == PROCESSES_MAX ||
		clock_getcpuclockid(atoi(pid), &p->clocks[p->count]))
		return -1;
	p->pids[p->count++] = atoi(pid);
	return 0;
}

uint64_t process_cpu_ns(const struct process *p)
{
	struct timespec t;
	uint64_t all = 0;
	unsigned i;

	for (i = 0; i < p->count; i++) {
		if (clock_gettime(p->clocks[i], &t) == 0)
			all += (uint64_t)t.tv_sec * 1000000000u +
			       (uint64_t)t.tv_nsec;
	}
	return all;
}

static uint64_t own_bytes(pid_t pid)
{
	char name[64], line[128];
	unsigned long long kib = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	file = fopen(name, "re");
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
			break;
	}
	fclose(file);
	return kib * 1024;
}

void process_read(const struct process *p, struct process_use *out)
{
	unsigned i;

	out->cpu_ns = process_cpu_ns(p);
	out->own_bytes = 0;
	for (i = 0; i < p->count; i++)
		out->own_bytes += own_bytes(p->pids[i]);
}
