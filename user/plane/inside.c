// SPDX-License-Identifier: GPL-2.0-only
/* inside.c - where routes lead that leave by no uplink. */
#include <arpa/inet.h>
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

/* How well the route suits, 0: not at all. */
static int suits(const struct netdev *netdev, const struct netdev_route *route)
{
	const struct netdev_link *link =
		netdev_by_index(netdev, route->ifindex);
	uint8_t all = route->dst.addr.family == 4 ? 32 : 128;
	bool bridge = link && !strcmp(link->kind, "bridge");

	if (!link || route->gateway.family || !route->dst.plen ||
	    (!bridge && strcmp(link->kind, "veth") &&
	     strcmp(link->kind, "netkit")) ||
	    (all == 128 && ntohl(route->dst.addr.a[0]) >> 24 >= 0xfe))
		return 0;
	if (route->dst.plen == all)
		return 2;
	return bridge && route->dst.plen < all - 2;
}

bool inside_is_host(const struct netdev *netdev,
		    const struct netdev_route *route)
{
	return suits(netdev, route) == 2;
}

bool inside_by_routes(const struct netdev *netdev, uint8_t family,
		      const uint32_t *uplinks, size_t count, struct addr *pod,
		      uint32_t *device)
{
	int best = 0;

	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *route = &netdev->routes[i];
		int how = suits(netdev, route);

		if (route->dst.addr.family != family || how <= best ||
		    inside_is_uplink(uplinks, count, route->ifindex))
			continue;
		best = how;
		*pod = route->dst.addr;
		*device = route->ifindex;
		/* the first is the bridge's own, as a rule */
		if (how == 1)
			pod->a[family == 4 ? 0 : 3] |= htonl(2);
	}
	return best;
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
