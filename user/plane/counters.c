// SPDX-License-Identifier: GPL-2.0-only
/* counters.c - the per-CPU counters, summed. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include "plane/counters.h"

const struct reason reasons[MASQ_R_MAX] = {
#define R(id, name, verdict, what, todo) \
	[MASQ_R_##id] = { name, what, todo, MASQ_##verdict == MASQ_DROP },
	MASQ_REASONS(R)
#undef R
};

/*
 * Adds up `words` 64-bit counters of one per-CPU element. The kernel rounds
 * values up to 8 bytes, which these are already.
 */
static int sum_cpus(const struct instance *instance, enum masq_map_id map,
		    uint32_t key, uint64_t *sums, size_t words)
{
	uint64_t *values = calloc(instance->cpus * words, sizeof(*values));
	int err = 0;

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(instance->map[map], &key, values))
		err = -errno;
	for (size_t i = 0; !err && i < words; i++) {
		sums[i] = 0;
		for (int cpu = 0; cpu < instance->cpus; cpu++)
			sums[i] += values[cpu * words + i];
	}
	free(values);
	return err;
}

int counters_prefix(const struct instance *instance, uint32_t slot,
		    struct masq_prefix_count *out)
{
	uint64_t sums[5];
	int err = sum_cpus(instance, MAP_masq_counters, slot, sums, 5);

	_Static_assert(sizeof(*out) == sizeof(sums), "masq_prefix_count");
	if (!err)
		*out = (struct masq_prefix_count){ { sums[0], sums[1] },
						   { sums[2], sums[3] },
						   sums[4] };
	return err;
}

int counters_stats(const struct instance *instance, uint64_t out[MASQ_S_MAX])
{
	int err = 0;

	for (uint32_t i = 0; i < MASQ_S_MAX && !err; i++)
		err = sum_cpus(instance, MAP_masq_stats, i, &out[i], 1);
	return err;
}

void json_count(struct json *j, const char *key, const struct masq_count *count)
{
	if (!count) {
		json_null(j, key);
		return;
	}
	json_object(j, key);
	json_u64(j, "packets", count->packets);
	json_u64(j, "bytes", count->bytes);
	json_object_end(j);
}
