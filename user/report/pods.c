// SPDX-License-Identifier: GPL-2.0-only
/* pods.c - by podCIDRs, else by whose flows there are. */
#include <cap-ng.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include "plane/flows.h"
#include "report/pods.h"

struct pods_in {
	const struct cidr *range;
	bool any, inside;
};

static int look_for_pod(void *data, const struct flow *flow)
{
	struct pods_in *pods = data;
	struct cidr host = { flow->in, flow->in.family == 4 ? 32 : 128 };

	if (flow->kind == MASQ_K_INBOUND || flow->role != MASQ_ROLE_FLOW)
		return 0;
	pods->any = true;
	pods->inside |= cidr_covers(pods->range, &host);
	return pods->inside;
}

enum doctor_pods doctor_pods_in(const struct doctor *d,
				const struct cidr *range)
{
	struct pods_in pods = { .range = range };

	for (size_t i = 0; d->policy && i < d->policy->count; i++) {
		const struct policy_entry *entry = &d->policy->entries[i];

		if (entry->list != MASQ_L_POD ||
		    entry->cidr.addr.family != range->addr.family)
			continue;
		pods.any = true;
		if (cidr_covers(&entry->cidr, range) ||
		    cidr_covers(range, &entry->cidr))
			return PODS_INSIDE;
	}
	if (!pods.any && d->instance)
		flows_walk_owners(d->instance, look_for_pod, &pods);
	return pods.inside ? PODS_INSIDE : pods.any ? PODS_NONE : PODS_UNKNOWN;
}

enum doctor_level doctor_level_of(enum doctor_pods pods)
{
	return pods == PODS_NONE      ? DOCTOR_NOTE
	       : pods == PODS_UNKNOWN ? DOCTOR_WARNING
				      : DOCTOR_BAD;
}
