/*
 * four_browsers.h: the clients of a test of hubs, and what is done before and
 * after each test.
 */
#ifndef TESTS_FOUR_BROWSERS_H
#define TESTS_FOUR_BROWSERS_H

#include "hub_support.h"

static struct browser a, b, c, d;

static int setup(void **state)
{
	(void)state;
	a = b = c = d = (struct browser){ .peer = -1 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	browser_free(&a);
	browser_free(&b);
	browser_free(&c);
	browser_free(&d);
	return 0;
}

#endif
