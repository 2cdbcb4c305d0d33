#include "base/histogram.h"

#define K  UINT64_C(1024)
#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

const struct histogram_scale histogram_sizes = {
	.unit = 1,
	.n = 10,
	.bounds = { 64, 256, K, 4 * K, 16 * K, 64 * K, 256 * K, K *K, 4 * K *K,
		16 * K *K },
};

const struct histogram_scale histogram_work = {
	.unit = 1e-9,
	.n = 14,
	.bounds = { 10 * US, 25 * US, 50 * US, 100 * US, 250 * US, 500 * US, MS,
		5 * MS / 2, 5 * MS, 10 * MS, 25 * MS, 100 * MS, 250 * MS, S },
};

const struct histogram_scale histogram_waits = {
	.unit = 1e-9,
	.n = 13,
	.bounds = { MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS,
		200 * MS, 500 * MS, S, 2 * S, 5 * S, 10 * S },
};
