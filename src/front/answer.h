/*
 * answer.h: sends an answer, a page's or a text, on a front's connection.
 */
#ifndef FRONT_ANSWER_H
#define FRONT_ANSWER_H

#include "base/str.h"

struct front;
struct page_answer;
struct request;

/* Takes the answer: it is freed, its file is kept until it is sent. */
void front_answer(
	struct front *f, const struct request *r, struct page_answer *a);
/* Plain text, which lives until it is sent. */
void front_answer_text(
	struct front *f, const struct request *r, int status, struct str text);
/* All that was counted, in parts. */
void front_answer_metrics(struct front *f, const struct request *r);
/* The queue has room again. */
void front_answer_more(struct front *f);
/* keepalive_timeout has passed: gives it up when the client reads nothing. */
void front_answer_check(struct front *f);
void front_answer_free(struct front *f);

#endif
