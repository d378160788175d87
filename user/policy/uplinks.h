/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * uplinks.h - which interfaces a policy has to be enforced on: every one that
 * packets from pods to masqueraded destinations may leave through.
 */
#ifndef MASQ_UPLINKS_H
#define MASQ_UPLINKS_H

#include <stdbool.h>
#include "kernel/netdev.h"
#include "policy/policy.h"

/* Does a route to something that is masqueraded lead by it? Without a policy:
 * to anywhere but a pod. */
bool uplink_leads_out(const struct netdev *netdev, struct policy *policy,
		      const struct netdev_link *link);
/* Does what leaves by it need an address of this family (4 or 6) to be translated
 * to? Not where only the other family has a way out by it. */
bool uplink_needs(const struct netdev *netdev, struct policy *policy,
		  const struct netdev_link *link, uint8_t family);
/* Does this one of its routes? */
bool uplink_route_leads_out(const struct netdev *netdev, struct policy *policy,
			    const struct netdev_link *link,
			    const struct netdev_route *route);
bool uplink_wanted(const struct netdev *netdev, struct policy *policy,
		   const struct netdev_link *link);

#endif
