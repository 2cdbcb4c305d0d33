/*
 * front_answer.h: sends a page's answer on a front's connection.
 */
#ifndef RELAY_FRONT_ANSWER_H
#define RELAY_FRONT_ANSWER_H

struct front;
struct page_answer;
struct request;

/* Takes the answer: it is freed, its file is kept until it is sent. */
void front_answer(
	struct front *f, const struct request *r, struct page_answer *a);
void front_answer_health(struct front *f, const struct request *r);
/* The queue has room again. */
void front_answer_more(struct front *f);
/* keepalive_timeout has passed: gives it up when the client reads nothing. */
void front_answer_check(struct front *f);
void front_answer_free(struct front *f);

#endif
