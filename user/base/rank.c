// SPDX-License-Identifier: GPL-2.0-only
/* rank.c - a radix sort, least significant byte first. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "base/rank.h"

#define BYTES sizeof(uint64_t)

uint64_t rank_key(uint8_t group, const struct cidr *cidr)
{
	uint64_t key = (uint64_t)group << 61;
	uint64_t first = ntohl(cidr->addr.a[0]);

	if (cidr->addr.family == 4)
		return key | first << 28 | (uint64_t)cidr->plen << 20;
	return key | 1ULL << 60 | first << 28 | ntohl(cidr->addr.a[1]) >> 4;
}

static bool is_sorted(const struct rank *ranks, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (ranks[i - 1].key > ranks[i].key)
			return false;
	return true;
}

/* One pass; false: this byte is the same everywhere, nothing was moved. */
static bool distribute(const struct rank *from, struct rank *to, size_t count,
		       const uint32_t *tally, unsigned int byte)
{
	uint32_t at[256], sum = 0;

	for (int i = 0; i < 256; i++) {
		if (tally[i] == count)
			return false;
		at[i] = sum;
		sum += tally[i];
	}
	for (size_t i = 0; i < count; i++)
		to[at[from[i].key >> 8 * byte & 0xff]++] = from[i];
	return true;
}

bool rank_sort(struct rank *ranks, size_t count)
{
	uint32_t(*tally)[256];
	struct rank *from = ranks, *spare, *to;

	/* as most files are, and most policies */
	if (is_sorted(ranks, count))
		return true;
	tally = calloc(BYTES, sizeof(*tally));
	spare = to = reallocarray(NULL, count, sizeof(*spare));
	if (!tally || !spare) {
		free(tally);
		free(spare);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		for (unsigned int byte = 0; byte < BYTES; byte++)
			tally[byte][ranks[i].key >> 8 * byte & 0xff]++;
	for (unsigned int byte = 0; byte < BYTES; byte++) {
		struct rank *filled = to;

		if (!distribute(from, to, count, tally[byte], byte))
			continue;
		to = from;
		from = filled;
	}
	if (from != ranks)
		memcpy(ranks, from, count * sizeof(*ranks));
	free(tally);
	free(spare);
	return true;
}
