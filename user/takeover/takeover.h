/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * takeover.h - hooks an uplink, and takes over what flows there: whole at the
 * next attach, whatever has interrupted or refused the one before. What is
 * done stands in masq_seeded.
 */
#ifndef MASQ_TAKEOVER_H
#define MASQ_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/seed.h"

/*
 * What this uplink is to take over: SEED_NOTHING once it has. Noted when it is
 * asked for the first time: all uplinks of one attach are asked before the
 * first is hooked. 0 or -errno, printed.
 */
int takeover_wanted(struct instance *instance, uint32_t ifindex,
		    enum seed_keep *out);
/*
 * hook_attach with the seeding in between. *seeded: all that was wanted is
 * taken over; false where conntrack could not be read, which costs flows but
 * leaves no packet untranslated: the next attach tries again. `stop` (NULL:
 * never) is asked now and then: true ends it, before egress is hooked, with
 * -ECANCELED. 0 or -errno, printed.
 */
int takeover_attach(struct instance *instance, const struct netdev_link *link,
		    enum hook_kind kind, enum seed_keep keep,
		    struct hook_set *added, bool *seeded,
		    bool (*stop)(void *data), void *data);
/* Its egress hook is there. 0 or -errno, printed. */
int takeover_done(struct instance *instance, uint32_t ifindex, bool seeded);
/* Is it known that something is left to be taken over? */
bool takeover_is_due(const struct instance *instance, uint32_t ifindex);

#endif
