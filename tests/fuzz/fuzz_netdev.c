// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_netdev.c - libFuzzer on what the kernel says of links, addresses and
 * routes. Whatever it says, what we make of it holds together.
 */
#include "kernel/netdev.h"
#include "netlink.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netdev *netdev;
	struct addr addr;
	uint32_t ifindex;

	log_level = -2;
	answers = data;
	answers_left = size;
	if (netdev_read(&netdev))
		return 0;
	for (size_t i = 0; i < netdev->link_count; i++) {
		const struct netdev_link *link = &netdev->links[i];

		require(strlen(link->name) < sizeof(link->name));
		require(strlen(link->kind) < sizeof(link->kind));
		require(netdev_by_name(netdev, link->name));
		require(netdev_by_index(netdev, link->ifindex));
		if (netdev_source(netdev, link->ifindex, 4, &addr))
			require(addr.family == 4);
		if (netdev_source(netdev, link->ifindex, 6, &addr))
			require(addr.family == 6);
	}
	for (size_t i = 0; i < netdev->addr_count; i++)
		require(netdev->addrs[i].addr.family == 4 ||
			netdev->addrs[i].addr.family == 6);
	for (size_t i = 0; i < netdev->route_count; i++)
		require(netdev->routes[i].dst.addr.family == 4 ||
			netdev->routes[i].dst.addr.family == 6);
	if (netdev->addr_count)
		netdev_route_to(&netdev->addrs[0].addr, &ifindex);
	netdev_free(netdev);
	return 0;
}
