// SPDX-License-Identifier: GPL-2.0-only
/* Sets of addresses: text, joining, the prefixes that make them up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "base/pool.h"

static struct pool pool_from(const char *text)
{
	struct pool pool = {}, one;
	char *copy = strdup(text), *rest = copy, *item, err[256];

	while ((item = strsep(&rest, " "))) {
		if (pool_parse(item, &one, err, sizeof(err)))
			fail_msg("%s: %s", item, err);
		assert_int_equal(pool_add(&pool, &one), 0);
	}
	free(copy);
	return pool;
}

static void joined(void **state)
{
	static const struct {
		const char *items, *text;
		uint32_t size;
	} rows[] = {
		{ "192.0.2.8", "192.0.2.8", 1 },
		{ "192.0.2.8/32", "192.0.2.8", 1 },
		{ "192.0.2.16/30", "192.0.2.16/30", 4 },
		{ "192.0.2.16-192.0.2.19", "192.0.2.16/30", 4 },
		{ "192.0.2.17-192.0.2.20", "192.0.2.17-192.0.2.20", 4 },
		/* next to each other, within each other, the same again */
		{ "192.0.2.9 192.0.2.8", "192.0.2.8/31", 2 },
		{ "192.0.2.0/24 192.0.2.8", "192.0.2.0/24", 256 },
		{ "192.0.2.8 192.0.2.10 192.0.2.9", "192.0.2.8-192.0.2.10", 3 },
		{ "192.0.2.1 192.0.2.3", "192.0.2.1, 192.0.2.3", 2 },
		{ "10.0.0.0/16", "10.0.0.0/16", 65536 },
		{ "192.0.2.255 192.0.3.0", "192.0.2.255-192.0.3.0", 2 },
		{ "255.255.255.255 0.0.0.0", "0.0.0.0, 255.255.255.255", 2 },
		{ "2001:db8::ffff:ffff 2001:db8::1:0:0",
		  "2001:db8::ffff:ffff-2001:db8::1:0:0", 2 },
		{ "2001:db8::/112", "2001:db8::/112", 65536 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pool pool = pool_from(rows[i].items);
		char text[POOL_STRLEN];

		assert_string_equal(pool_format(&pool, text, sizeof(text)),
				    rows[i].text);
		assert_int_equal(pool_size(&pool), rows[i].size);
		assert_true(pool_is_sound(&pool));
	}
}

/* In any order of adding: the same, and what a list of marks says. */
static void random_sets(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 2000; round++) {
		bool there[64] = {};
		struct pool pool = {}, other = {}, one;
		int failed = 0, size = 0, covered = 0;

		for (int i = rand() % 20; i >= 0; i--) {
			int first = rand() % 64;
			int last = first + rand() % (64 - first) / 8;
			char text[64];

			snprintf(text, sizeof(text), "10.0.0.%d-10.0.0.%d",
				 192 + first, 192 + last);
			assert_int_equal(pool_parse(text, &one, NULL, 0), 0);
			if (pool_add(&pool, &one)) {
				failed++;
				continue;
			}
			pool_add(i % 2 ? &other : &one, &one);
			for (int k = first; k <= last; k++)
				there[k] = true;
		}
		for (int k = 0; k < 64; k++)
			size += there[k];
		assert_int_equal(pool_size(&pool), size);
		assert_true(pool_is_sound(&pool));
		assert_true(!failed || pool.count == MASQ_POOL_RANGES);
		if (other.family) {
			assert_true(pool_overlaps(&pool, &other));
			assert_int_equal(pool_add(&other, &pool), 0);
			assert_int_equal(pool_cmp(&pool, &other), 0);
		}
		/* its prefixes cover each of them once, and nothing else */
		for (int i = 0; i < pool.count; i++) {
			struct addr at = pool.range[i].first;
			struct cidr cidr;

			while (pool_next_cidr(&pool.range[i], &at, &cidr)) {
				int first = ntohl(cidr.addr.a[0]) & 63;

				assert_true(cidr_is_sound(&cidr));
				for (int k = 0; k < 1 << (32 - cidr.plen); k++)
					assert_true(there[first + k]);
				covered += 1 << (32 - cidr.plen);
			}
		}
		assert_int_equal(covered, size);
	}
}

static void edges(void **state)
{
	struct pool pool = pool_from("255.255.255.254/31"), six;
	struct addr at = pool.range[0].first;
	struct cidr cidr;

	(void)state;
	assert_true(pool_next_cidr(&pool.range[0], &at, &cidr));
	assert_int_equal(cidr.plen, 31);
	assert_false(pool_next_cidr(&pool.range[0], &at, &cidr));
	six = pool_from("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_int_equal(pool_add(&pool, &six), -EAFNOSUPPORT);
	assert_int_equal(pool_size(&pool), 2);
	at = six.range[0].first;
	assert_true(pool_next_cidr(&six.range[0], &at, &cidr));
	assert_int_equal(cidr.plen, 128);
	assert_false(pool_next_cidr(&six.range[0], &at, &cidr));
}

/* What a damaged pin may hold. */
static void unsound(void **state)
{
	struct pool pool = pool_from("192.0.2.1 192.0.2.9"), bad;

	(void)state;
	bad = pool;
	bad.count = 0;
	assert_false(pool_is_sound(&bad));
	bad = pool;
	bad.count = MASQ_POOL_RANGES + 1;
	assert_false(pool_is_sound(&bad));
	bad = pool;
	bad.family = 5;
	assert_false(pool_is_sound(&bad));
	bad = pool;
	bad.range[1].first = bad.range[0].first;
	assert_false(pool_is_sound(&bad));
	bad = pool;
	bad.range[1].last.a[0] = htonl(0xc0000208);
	assert_false(pool_is_sound(&bad));
	bad = pool;
	bad.range[1].last.a[0] = htonl(0xf0000000);
	assert_false(pool_is_sound(&bad));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joined),
		cmocka_unit_test(random_sets),
		cmocka_unit_test(edges),
		cmocka_unit_test(unsound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
