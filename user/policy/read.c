// SPDX-License-Identifier: GPL-2.0-only
/* read.c - readers hold no lock: they compare afterwards, and read again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/prefix.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/snat.h"

/*
 * The policy of one half. With the lock held it cannot change meanwhile; a
 * reader without one compares afterwards (policy_read).
 */
static int read_half(struct instance *instance, uint32_t half,
		     struct policy *policy)
{
	uint16_t number[MASQ_MAX_SNAT] = {}, known[MASQ_MAX_SNAT] = {};
	struct masq_addr snat[MASQ_MAX_SNAT];
	struct masq_meta meta;
	int err = map_read(instance, MAP_masq_policy, half, &policy->head);

	err = err ?: map_read(instance, MAP_masq_meta, 0, &meta);
	err = err ?: snat_read(instance, snat);
	if (err)
		return err;
	if (!policy->head.generation)
		return -ENODATA;
	policy->head.flags &= ~MASQ_P_RECORD;
	policy->source = meta.source[half];
	policy->snat = calloc(MASQ_MAX_SNAT, sizeof(*policy->snat));
	if (!policy->snat)
		return -ENOMEM;

	for (uint32_t slot = 0; slot < instance->meta.max_prefixes; slot++) {
		const struct masq_prefix *prefix = &instance->prefixes[slot];
		const struct masq_prefix_half *own = &prefix->half[half];
		struct policy_entry entry;

		if (!(prefix->in_half >> half & 1))
			continue;
		entry = (struct policy_entry){ .cidr = prefix_cidr(prefix),
					       .list = prefix->list,
					       .action = prefix->action,
					       .origin = own->origin,
					       .line = own->line,
					       .since = own->since };
		if (own->snat) {
			uint32_t first = MASQ_SNAT_SLOT(own->snat);
			struct pool pool;

			/* a slot may have had another family's before */
			if ((known[first] != own->snat ||
			     policy->snat[number[first] - 1].family !=
				     prefix->family) &&
			    policy->snat_count < MASQ_MAX_SNAT &&
			    !snat_pool(snat, own->snat, prefix->family,
				       &pool)) {
				known[first] = own->snat;
				number[first] =
					policy_snat_number(policy, &pool);
			}
			/* else it has been changed meanwhile: read again */
			if (known[first] == own->snat)
				entry.snat = number[first];
		}
		err = policy_append(policy, &entry);
		if (err)
			return err;
		policy->entries[policy->count - 1].slot = slot;
	}
	policy_sort(policy);
	return 0;
}

/* Readers hold no lock: has the half been in force, and whole, all the time? */
static int still_in_force(const struct instance *instance, uint32_t half,
			  const struct policy *policy, bool *same)
{
	struct masq_policy head;
	uint32_t active;
	int err = map_read(instance, MAP_masq_policy, half, &head)
			  ?: map_read(instance, MAP_masq_active, 0, &active);

	*same = !err && (active & 1) == half &&
		head.generation == policy->head.generation;
	return err;
}

int policy_read(struct instance *instance, struct policy **out)
{
	struct policy *policy;
	uint32_t half;
	bool same;
	int err;

	do {
		policy = calloc(1, sizeof(*policy));
		if (!policy)
			return policy_fail(-ENOMEM, "read");
		err = map_read(instance, MAP_masq_active, 0, &half);
		half &= 1;
		err = err ?: read_half(instance, half, policy);
		err = err ?: still_in_force(instance, half, policy, &same);
		if (!err && same) {
			*out = policy;
			return 0;
		}
		policy_free(policy);
	} while (!err);
	return err == -ENODATA ? err : policy_fail(err, "read");
}
