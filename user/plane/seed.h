/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * seed.h - what flows on an uplink before we are there, from the kernel's
 * conntrack table into the flow maps.
 */
#ifndef MASQ_SEED_H
#define MASQ_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/instance.h"

enum seed_keep {
	SEED_NOTHING, /* for callers; never for seed_uplink */
	SEED_KEEP_POLICY, /* only flows that the policy keeps as well */
	/*
	 * Those of masqueraded prefixes, too, if they are answered: without a
	 * translation then. Only for a dataplane that is made now: conntrack
	 * sees what we translate as not translated.
	 */
	SEED_KEEP_ALL,
};

/*
 * Makes records for the flows on this uplink that have none: those from pods
 * that are not translated, those from outside to pods, and the ports that
 * netfilter's NAT uses. To be called between the hooks: with ingress in place
 * nothing that begins now is missed, and egress does not yet judge.
 *
 * Without conntrack there is nothing to do. `stop` (NULL: never) is asked now
 * and then: true ends it with -ECANCELED. 0; -errno, printed: it is not whole,
 * and may be called again, which makes what is missing.
 */
int seed_uplink(struct instance *instance, uint32_t ifindex,
		enum seed_keep keep, bool (*stop)(void *data), void *data);

/*
 * Conntrack has seen the flows that we have translated as not translated. Its
 * entries of them are deleted, so that netfilter's own NAT may take them over,
 * and a later attach does not keep what it should translate.
 *
 * Before the last hook goes: or packets would leave by those entries with the
 * pod's address, and the far side reset what it does not know. And once more
 * after it: what passed in between was entered anew. 0 or -errno.
 */
int seed_forget(struct instance *instance, const uint32_t *ifindexes,
		size_t count);

/*
 * How many flows from behind this node does netfilter still translate on
 * their way out by one of these uplinks? Closed ones are not counted. -errno.
 */
long seed_translated(const uint32_t *ifindexes, size_t count);

#endif
