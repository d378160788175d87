/* SPDX-License-Identifier: GPL-2.0-only */
/* inside.h - pods of this node, and the devices that they are behind. */
#ifndef MASQ_PLANE_INSIDE_H
#define MASQ_PLANE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
#include "plane/maps.h"

/*
 * The device that the pod is behind: the way back to it, for whom main says,
 * else for what comes from dest in by an uplink; where rules let nobody go there,
 * or elsewhere, by the routes alone. 0: none that could be found.
 */
uint32_t inside_device(const struct addr *pod, const struct addr *dest,
		       const uint32_t *uplinks, size_t count);
bool inside_is_uplink(const uint32_t *uplinks, size_t count, uint32_t ifindex);

/*
 * Pods of this family (4 or 6) that have flows, one after the other: `last` is
 * the one before, family 0 at first. False: there are no more.
 */
bool inside_next_pod(const struct instance *instance, uint8_t family,
		     struct addr *last);

/*
 * One that may be a pod of this family by the routes alone, where none has flows,
 * and its device: who has a host route as CNIs make it, else somebody on a bridge.
 */
struct netdev;
struct netdev_route;
bool inside_by_routes(const struct netdev *netdev, uint8_t family,
		      const uint32_t *uplinks, size_t count, struct addr *pod,
		      uint32_t *device);
/* A host route as CNIs make it, to somebody behind a veth or the like? */
bool inside_is_host(const struct netdev *netdev,
		    const struct netdev_route *route);

#endif
