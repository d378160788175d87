// SPDX-License-Identifier: GPL-2.0-only
/* links.c - which address the kernel would take. */
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include "kernel/links.h"

const struct netdev_table *netdev_table(const struct netdev *netdev,
					uint8_t family, uint32_t id)
{
	for (size_t i = 0; i < netdev->table_count; i++)
		if (netdev->tables[i].id == id &&
		    netdev->tables[i].family == family)
			return &netdev->tables[i];
	return NULL;
}

const struct netdev_link *netdev_by_name(const struct netdev *netdev,
					 const char *name)
{
	for (size_t i = 0; i < netdev->link_count; i++)
		if (!strcmp(netdev->links[i].name, name))
			return &netdev->links[i];
	for (size_t i = 0; i < netdev->altname_count; i++)
		if (!strcmp(netdev->altnames[i].name, name))
			return netdev_by_index(netdev,
					       netdev->altnames[i].ifindex);
	return NULL;
}

const struct netdev_link *netdev_by_index(const struct netdev *netdev,
					  uint32_t ifindex)
{
	for (size_t i = 0; i < netdev->link_count; i++)
		if (netdev->links[i].ifindex == ifindex)
			return &netdev->links[i];
	return NULL;
}

const struct netdev_link *netdev_whole(const struct netdev *netdev,
				       const struct netdev_link *link)
{
	/* a VRF, too, is a master; its parts route by themselves */
	for (int depth = 0; depth < 8 && link->master; depth++) {
		const struct netdev_link *master =
			netdev_by_index(netdev, link->master);

		if (!master || (strcmp(master->kind, "bridge") &&
				strcmp(master->kind, "bond") &&
				strcmp(master->kind, "team")))
			break;
		link = master;
	}
	return link;
}

bool netdev_is_ethernet(const struct netdev_link *link)
{
	/* the kernel gives packets of lo an Ethernet header of zeroes */
	return link->type == ARPHRD_ETHER || link->type == ARPHRD_LOOPBACK;
}

bool netdev_has_l3(const struct netdev *netdev)
{
	for (size_t i = 0; i < netdev->link_count; i++)
		if (!netdev_is_ethernet(&netdev->links[i]))
			return true;
	return false;
}

/* The default route that leaves through this link, cheapest first. */
static const struct netdev_route *
default_route(const struct netdev *netdev, uint32_t ifindex, uint8_t family)
{
	const struct netdev_route *best = NULL;

	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *r = &netdev->routes[i];

		if (r->ifindex != ifindex || r->dst.plen ||
		    r->dst.addr.family != family || r->table != RT_TABLE_MAIN)
			continue;
		if (!best || r->metric < best->metric)
			best = r;
	}
	return best;
}

/* May it be the source of packets to anywhere? */
static bool usable(const struct netdev_addr *addr)
{
	if (addr->scope != RT_SCOPE_UNIVERSE)
		return false;
	if (addr->addr.family == 4)
		return !(addr->flags & IFA_F_SECONDARY);
	if (addr->flags & IFA_F_DADFAILED)
		return false;
	return !(addr->flags & IFA_F_TENTATIVE) ||
	       addr->flags & IFA_F_OPTIMISTIC;
}

/*
 * How well an address suits, the least is the best. IPv4 as the kernel's
 * inet_select_addr: the subnet of the gateway, else the first. IPv6 after
 * RFC 6724 for a far destination: not deprecated, global rather than unique
 * local, and public rather than temporary, since a flow may outlive the
 * temporary one.
 */
static int rank(const struct netdev_addr *addr, const struct addr *gateway)
{
	if (addr->addr.family == 4) {
		__be32 mask = addr->plen ? htonl(~0U << (32 - addr->plen)) : 0;

		return gateway->family != 4 ||
		       ((addr->addr.a[0] ^ gateway->a[0]) & mask) != 0;
	}
	return (addr->flags & IFA_F_DEPRECATED ? 4 : 0) +
	       ((ntohl(addr->addr.a[0]) >> 25) == 0x7e ? 2 : 0) +
	       (addr->flags & IFA_F_SECONDARY ? 1 : 0);
}

static const struct netdev_addr *best_addr(const struct netdev *netdev,
					   uint32_t ifindex, uint8_t family,
					   const struct addr *gateway)
{
	const struct netdev_addr *best = NULL;

	for (size_t i = 0; i < netdev->addr_count; i++) {
		const struct netdev_addr *a = &netdev->addrs[i];

		if (a->ifindex != ifindex || a->addr.family != family ||
		    !usable(a))
			continue;
		if (!best || rank(a, gateway) < rank(best, gateway))
			best = a;
	}
	return best;
}

bool netdev_source(const struct netdev *netdev, uint32_t ifindex,
		   uint8_t family, struct addr *out)
{
	const struct netdev_route *route =
		default_route(netdev, ifindex, family);
	struct addr gateway = route ? route->gateway : (struct addr){};
	const struct netdev_addr *best;

	if (route && route->prefsrc.family) {
		*out = route->prefsrc;
		return true;
	}
	best = best_addr(netdev, ifindex, family, &gateway);
	/* unnumbered: the other links in order, lo first */
	for (size_t i = 0; !best && i < netdev->link_count; i++)
		best = best_addr(netdev, netdev->links[i].ifindex, family,
				 &gateway);
	if (!best)
		return false;
	*out = best->addr;
	return true;
}
