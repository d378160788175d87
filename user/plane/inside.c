// SPDX-License-Identifier: GPL-2.0-only
/* inside.c - where routes lead that leave by no uplink. */
#include <string.h>
#include <bpf/bpf.h>
#include "kernel/netdev.h"
#include "plane/inside.h"

#define LOOPBACK 1 /* the ifindex of lo, in every network namespace */

bool inside_is_uplink(const uint32_t *uplinks, size_t count, uint32_t ifindex)
{
	for (size_t i = 0; i < count; i++)
		if (uplinks[i] == ifindex)
			return true;
	return false;
}

/*
 * The device that the longest route to the pod leads to, in whatever table; 0:
 * none does. A default route is none to a pod.
 */
static uint32_t device_by_routes(const struct addr *pod,
				 const uint32_t *uplinks, size_t count)
{
	const struct cidr host = { *pod, pod->family == 4 ? 32 : 128 };
	const struct netdev_route *best = NULL;
	struct netdev *netdev;
	uint32_t device;

	if (netdev_read(&netdev))
		return 0;
	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *route = &netdev->routes[i];

		if (route->dst.plen && cidr_covers(&route->dst, &host) &&
		    !inside_is_uplink(uplinks, count, route->ifindex) &&
		    route->ifindex != LOOPBACK &&
		    (!best || route->dst.plen > best->dst.plen))
			best = route;
	}
	device = best ? best->ifindex : 0;
	netdev_free(netdev);
	return device;
}

uint32_t inside_device(const struct addr *pod, const struct addr *dest,
		       const uint32_t *uplinks, size_t count)
{
	uint32_t device;

	if (!netdev_route_to(pod, &device) &&
	    !inside_is_uplink(uplinks, count, device))
		return device == LOOPBACK ? 0 : device;
	for (size_t i = 0; i < count; i++)
		if (!netdev_route_from(pod, dest, uplinks[i], &device) &&
		    !inside_is_uplink(uplinks, count, device))
			return device;
	return device_by_routes(pod, uplinks, count);
}

bool inside_next_pod(const struct instance *instance, uint8_t family,
		     struct addr *last)
{
	int fd = instance->map[MAP_masq_pods];
	struct masq_addr key, next, *from = NULL;

	if (last->family) {
		memcpy(key.a, last->a, sizeof(key.a));
		from = &key;
	}
	while (!bpf_map_get_next_key(fd, from, &next)) {
		key = next;
		from = &key;
		if ((key.a[1] | key.a[2] | key.a[3] ? 6 : 4) != family)
			continue;
		*last = (struct addr){ .family = family };
		memcpy(last->a, key.a, sizeof(last->a));
		return true;
	}
	return false;
}
