/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rank.h - the order of a great many prefixes, without comparing them: a
 * hundred thousand take a few passes over keys instead of 1.7 million calls.
 */
#ifndef MASQ_RANK_H
#define MASQ_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"

struct rank {
	uint64_t key;
	uint32_t index; /* of what is being sorted */
};

/*
 * By group (0..7) and then as cidr_cmp orders: of two different keys the
 * smaller comes first. IPv6 prefixes that share 60 bits share a key.
 */
uint64_t rank_key(uint8_t group, const struct cidr *cidr);

/*
 * Sorts by key; equal keys keep their order. False: no memory, and nothing
 * has been touched.
 */
bool rank_sort(struct rank *ranks, size_t count);

/* Where the run of equal keys ends that begins at `from`. */
static inline size_t rank_run(const struct rank *ranks, size_t count,
			      size_t from)
{
	size_t end = from + 1;

	while (end < count && ranks[end].key == ranks[from].key)
		end++;
	return end;
}

#endif
