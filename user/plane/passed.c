// SPDX-License-Identifier: GPL-2.0-only
/* passed.c - one bit of the policy in force, which no policy itself says. */
#include "plane/passed.h"

static int read_policy(const struct instance *instance, uint32_t *half,
		       struct masq_policy *policy)
{
	return map_read(instance, MAP_masq_active, 0, half)
		       ?: map_read(instance, MAP_masq_policy, *half & 1,
				   policy);
}

bool passed_is_recorded(const struct instance *instance, uint32_t *generation)
{
	struct masq_policy policy;
	uint32_t half;

	if (read_policy(instance, &half, &policy))
		return false;
	*generation = policy.generation;
	return policy.generation && policy.flags & MASQ_P_RECORD;
}

int passed_record(const struct instance *instance, bool on)
{
	struct masq_policy policy;
	uint32_t half;
	int err = read_policy(instance, &half, &policy);

	if (err || !policy.generation || !(policy.flags & MASQ_P_RECORD) == !on)
		return err;
	policy.flags ^= MASQ_P_RECORD;
	return map_write(instance, MAP_masq_policy, half & 1, &policy);
}
