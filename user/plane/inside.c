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
 * The device of the longest route to the pod, in whatever table; `only`: of
 * those by this device, if it is not 0. 0: there is none. A default route is
 * none to a pod.
 */
static uint32_t device_by_routes(const struct netdev *netdev,
				 const struct addr *pod, uint32_t only,
				 const uint32_t *uplinks, size_t count)
{
	const struct cidr host = { *pod, pod->family == 4 ? 32 : 128 };
	const struct netdev_route *best = NULL;

	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *route = &netdev->routes[i];

		if (route->dst.plen && cidr_covers(&route->dst, &host) &&
		    (!only || route->ifindex == only) &&
		    !inside_is_uplink(uplinks, count, route->ifindex) &&
		    route->ifindex != LOOPBACK &&
		    (!best || route->dst.plen > best->dst.plen))
			best = route;
	}
	return best ? best->ifindex : 0;
}

uint32_t inside_device(const struct addr *pod, const struct addr *dest,
		       const uint32_t *uplinks, size_t count)
{
	struct netdev *netdev;
	uint32_t device = 0;

	if (netdev_read(&netdev))
		return 0;
	if (!netdev_route_to(pod, &device))
		device = device_by_routes(netdev, pod, device, uplinks, count);
	for (size_t i = 0; i < count && !device; i++)
		if (!netdev_route_from(pod, dest, uplinks[i], NULL, &device))
			device = device_by_routes(netdev, pod, device, uplinks,
						  count);
	if (!device)
		device = device_by_routes(netdev, pod, 0, uplinks, count);
	netdev_free(netdev);
	return device;
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
