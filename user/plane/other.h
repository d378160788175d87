/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * other.h - interfaces that are not attached and by which packets may come in
 * that are answered by way of an uplink: they are watched (bpf/other.h), so
 * that the answers keep their addresses.
 */
#ifndef MASQ_PLANE_OTHER_H
#define MASQ_PLANE_OTHER_H

#include <stdbool.h>
#include <stddef.h>
#include "kernel/netdev.h"
#include "plane/instance.h"

/*
 * May packets from outside come in by it? Not by the node's ends of pods'
 * pairs, by bridges of pods, nor by ports of a bridge or bond, whose master
 * is looked at instead.
 */
bool other_may_bring(const struct netdev *netdev,
		     const struct netdev_link *link);

/*
 * Is there nothing that knows what comes in by it? It may bring something, is
 * neither attached nor watched, and no program may ask conntrack.
 */
bool other_is_blind(const struct instance *instance,
		    const struct netdev *netdev,
		    const struct netdev_link *link);

/*
 * Brings the watches to what the kernel has now: one on each such interface
 * that is no uplink, none on others. By `attach` and `detach` (beside.h), since
 * not everybody may; -EOPNOTSUPP: that one stays without. 0 or -errno, printed.
 */
int other_sync(struct instance *instance, const struct netdev *netdev,
	       int (*attach)(void *data, const struct netdev_link *link),
	       int (*detach)(void *data, const struct netdev_link *link),
	       void *data);

#endif
