// SPDX-License-Identifier: GPL-2.0-only
/* test_rank.c - the keys order as cidr_cmp does, and the sort by them. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/rank.h"

#define COUNT 20000

/* Few distinct bits, so that prefixes nest, share keys and are equal. */
static struct cidr random_cidr(unsigned int *seed)
{
	struct addr addr = { .family = rand_r(seed) % 2 ? 4 : 6 };
	int words = addr.family == 4 ? 1 : 4;

	for (int i = 0; i < words; i++)
		addr.a[i] = htonl((uint32_t)rand_r(seed) << 1 &
				  (rand_r(seed) % 2 ? 0xc0000000 : 0x8000000f));
	return cidr_of(&addr, rand_r(seed) % (words * 32 + 1));
}

static void keys_order_as_prefixes(void **state)
{
	unsigned int seed = 3;
	size_t differ = 0;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		struct cidr a = random_cidr(&seed), b = random_cidr(&seed);
		uint64_t x = rank_key(0, &a), y = rank_key(0, &b);

		if (x != y)
			assert_int_equal(x < y, cidr_cmp(&a, &b) < 0);
		else if (a.addr.family == 4)
			assert_int_equal(cidr_cmp(&a, &b), 0);
		differ += x != y;
		/* a group comes before everything else */
		assert_true(rank_key(6, &a) < rank_key(7, &b));
	}
	assert_true(differ > COUNT / 2);
}

static void check_sort(size_t count, unsigned int seed, uint64_t mask)
{
	struct rank *ranks = calloc(count + 1, sizeof(*ranks));
	uint64_t *keys = calloc(count + 1, sizeof(*keys));

	for (uint32_t i = 0; i < count; i++) {
		keys[i] = ((uint64_t)rand_r(&seed) << 33 ^
			   (uint64_t)rand_r(&seed) << 11 ^ rand_r(&seed)) &
			  mask;
		ranks[i] = (struct rank){ keys[i], i };
	}
	assert_true(rank_sort(ranks, count));
	for (size_t i = 0; i < count; i++) {
		assert_true(ranks[i].key == keys[ranks[i].index]);
		if (!i)
			continue;
		assert_true(ranks[i - 1].key <= ranks[i].key);
		/* equal keys in the order that they had: no index twice */
		if (ranks[i - 1].key == ranks[i].key)
			assert_true(ranks[i - 1].index < ranks[i].index);
	}
	free(ranks);
	free(keys);
}

static void sorted_and_stable(void **state)
{
	(void)state;
	for (size_t count = 0; count < 40; count++)
		check_sort(count, count, UINT64_MAX);
	/* odd and even numbers of bytes that differ */
	check_sort(COUNT, 1, UINT64_MAX);
	check_sort(COUNT, 2, 0xff);
	check_sort(COUNT, 3, 0xff00000000000000);
	check_sort(COUNT, 4, 0x0f00ff00000f0000);
	check_sort(COUNT, 5, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_order_as_prefixes),
		cmocka_unit_test(sorted_and_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
