// SPDX-License-Identifier: GPL-2.0-only
/* snat.c - the slot that has the address, else one that nobody uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "policy/policy.h"
#include "policy/slots.h"
#include "policy/snat.h"

int snat_read(const struct instance *instance,
	      struct masq_addr snat[MASQ_MAX_SNAT])
{
	uint32_t keys[MASQ_MAX_SNAT], last, count = MASQ_MAX_SNAT;

	if (bpf_map_lookup_batch(instance->map[MAP_masq_snat], NULL, &last,
				 keys, snat, &count, NULL) &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

int snat_assign(struct work *w)
{
	struct policy *policy = w->policy;
	bool used[MASQ_MAX_SNAT] = { [0] = true };

	w->snat_slot = calloc(policy->snat_count + 1, sizeof(*w->snat_slot));
	if (!w->snat_slot)
		return policy_fail(-ENOMEM, "apply");
	for (uint32_t i = 0; i < w->used; i++)
		if (slot_in_force(w, i))
			used[w->instance->prefixes[i].half[w->active].snat %
			     MASQ_MAX_SNAT] = true;

	for (size_t i = 0; i < policy->snat_count; i++) {
		const struct addr *addr = &policy->snat[i];
		uint32_t slot = 1;

		while (slot < MASQ_MAX_SNAT &&
		       (!used[slot] ||
			memcmp(w->snat[slot].a, addr->a, sizeof(addr->a))))
			slot++;
		for (uint32_t k = 1; slot == MASQ_MAX_SNAT && k < slot; k++)
			if (!used[k])
				slot = k;
		if (slot == MASQ_MAX_SNAT) {
			log_error(
				"policy: more than %d source addresses, those of the policy in force included",
				MASQ_MAX_SNAT - 1);
			return -ENOSPC;
		}
		used[slot] = true;
		memcpy(w->snat[slot].a, addr->a, sizeof(addr->a));
		w->snat_slot[i] = slot;
	}
	return 0;
}

uint16_t snat_of(const struct work *w, const struct policy_entry *entry)
{
	return entry->snat ? w->snat_slot[entry->snat - 1] : 0;
}
