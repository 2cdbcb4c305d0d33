/*
 * Counters for wsrelayd with addressing = tagged: each client has its own, and
 * one program keeps them all. See wsrelayd-tagged(7). In wsrelayd.ini:
 *
 *   [route counter]
 *   path = /counter
 *   backend = exec:/srv/counter/tagged
 *   mode = hub
 *   addressing = tagged
 *
 * Build: cc -O2 -o tagged tagged.c
 *
 * A client sends a number, which is added to its own; it gets its sum, and
 * all get the sum of all. "bye" ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
	struct client *next;
	char id[17]; /* 16 hexadecimal digits at most */
	long sum;
};

static struct client *clients; /* a real program would use a hash table */
static long total;

/* The pointer that leads to it; to NULL when it is not there. */
static struct client **find(const char *id)
{
	struct client **c = &clients;

	while (*c && strcmp((*c)->id, id) != 0)
		c = &(*c)->next;
	return c;
}

static void joined(const char *id)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		exit(1);
	snprintf(c->id, sizeof(c->id), "%s", id);
	c->next = clients;
	clients = c;
	printf("> %s 0\n", id);
}

static void left(const char *id)
{
	struct client **place = find(id), *c = *place;

	if (!c)
		return;
	*place = c->next;
	free(c);
}

static void said(const char *id, const char *text)
{
	struct client *c = *find(id);
	char *end;
	long n = strtol(text, &end, 10);

	if (!c)
		return;
	if (strcmp(text, "bye") == 0) {
		printf("x %s 1000 your sum is %ld\n", id, c->sum);
	} else if (end == text || *end != '\0' || n < -1000 || n > 1000) {
		printf("> %s a number from -1000 to 1000, please\n", id);
	} else {
		c->sum += n;
		total += n;
		printf("> %s %ld\n> * total %ld\n", id, c->sum, total);
	}
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	/* A whole line at a time, or the relay would wait for a full buffer. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((n = getline(&line, &size, stdin)) > 0) {
		char *id = line + 2, *rest;

		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (n < 3 || line[1] != ' ')
			continue;
		rest = strchr(id, ' '); /* the second space ends the prefix */
		if (rest)
			*rest++ = '\0';
		switch (line[0]) {
		case '+': /* rest is JSON: sub, perm, peer, path */
			joined(id);
			break;
		case '-': /* rest is JSON: reason */
			left(id);
			break;
		case '>':
			said(id, rest ? rest : "");
			break;
		default: /* "=" says who drives, with input = driver */
			break;
		}
	}
	free(line);
	return 0;
}
