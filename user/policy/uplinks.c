// SPDX-License-Identifier: GPL-2.0-only
/*
 * uplinks.c - uplinks by their routes. Nobody marks an interface as one: it is
 * told from a pod's or a bridge of pods by where its routes lead.
 */
#include <arpa/inet.h>
#include <net/if_arp.h>
#include <string.h>
#include "policy/uplinks.h"

/* Multicast and link-local of IPv6: routes that every link has. */
static bool is_everywhere(const struct cidr *dst)
{
	uint32_t head = ntohl(dst->addr.a[0]);

	return dst->addr.family == 6 && dst->plen >= 8 &&
	       (head >> 24 == 0xff || head >> 22 == 0xfe80 >> 6);
}

static bool covered_by_pods(const struct policy *policy, const struct cidr *dst)
{
	for (size_t i = 0; i < policy->count; i++)
		if (policy->entries[i].list == MASQ_L_POD &&
		    cidr_covers(&policy->entries[i].cidr, dst))
			return true;
	return false;
}

/* Is there an address in it that pods see masqueraded? */
static bool in_masquerade_space(struct policy *policy, const struct cidr *dst)
{
	const struct policy_entry *match = policy_match(policy, dst);

	if (match && match->action == MASQ_MASQUERADE)
		return true;
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list == MASQ_L_DST &&
		    entry->action == MASQ_MASQUERADE &&
		    cidr_covers(dst, &entry->cidr))
			return true;
	}
	return false;
}

/* Has this bridge a card, a VLAN or a tunnel in it, so that its network goes on
 * outside of this node? Pods and machines of the node have the others. */
static bool goes_on_outside(const struct netdev *netdev,
			    const struct netdev_link *bridge)
{
	static const char *const inside[] = { "veth", "netkit", "tun", "dummy",
					      "ifb" };

	for (size_t i = 0; i < netdev->link_count; i++) {
		const struct netdev_link *port = &netdev->links[i];
		bool of_node = port->master != bridge->ifindex;

		for (size_t k = 0; k < sizeof(inside) / sizeof(*inside); k++)
			of_node |= !strcmp(port->kind, inside[k]);
		if (!of_node)
			return true;
	}
	return false;
}

bool uplink_route_leads_out(const struct netdev *netdev, struct policy *policy,
			    const struct netdev_link *link,
			    const struct netdev_route *route)
{
	bool ipv4 = route->dst.addr.family == 4;

	if (policy && !ipv4 && !(policy->head.flags & MASQ_P_IPV6))
		return false;
	if (!route->gateway.family) {
		/* a pod's own route, as CNIs make it; not a peer's of a VPN,
		 * whose packets have no Ethernet header */
		if (route->dst.plen == (ipv4 ? 32 : 128) &&
		    netdev_is_ethernet(link) && !route->wraps)
			return false;
		/* the subnet of the pods on a bridge; not all the world */
		if (!strcmp(link->kind, "bridge") && route->dst.plen &&
		    !goes_on_outside(netdev, link))
			return false;
	}
	if (!policy)
		return !is_everywhere(&route->dst);
	return !is_everywhere(&route->dst) &&
	       !covered_by_pods(policy, &route->dst) &&
	       in_masquerade_space(policy, &route->dst);
}

/* Only the node's own packets are led to such a table. */
static bool is_the_nodes(const struct netdev *netdev,
			 const struct netdev_route *route)
{
	const struct netdev_table *table =
		netdev_table(netdev, route->dst.addr.family, route->table);

	return table && !table->forwarded;
}

/* family 0: any */
static bool has_way_out(const struct netdev *netdev, struct policy *policy,
			const struct netdev_link *link, uint8_t family)
{
	const struct netdev_link *master =
		link->master ? netdev_by_index(netdev, link->master) : NULL;

	if (link->type == ARPHRD_LOOPBACK)
		return false;
	/* packets of a bond's or bridge's part are the whole's business */
	if (master && strcmp(master->kind, "vrf"))
		return false;
	for (size_t i = 0; i < netdev->route_count; i++)
		if (netdev->routes[i].ifindex == link->ifindex &&
		    (!family || netdev->routes[i].dst.addr.family == family) &&
		    !is_the_nodes(netdev, &netdev->routes[i]) &&
		    uplink_route_leads_out(netdev, policy, link,
					   &netdev->routes[i]))
			return true;
	return false;
}

bool uplink_leads_out(const struct netdev *netdev, struct policy *policy,
		      const struct netdev_link *link)
{
	return has_way_out(netdev, policy, link, 0);
}

bool uplink_needs(const struct netdev *netdev, struct policy *policy,
		  const struct netdev_link *link, uint8_t family)
{
	if (family == 6 && policy && !(policy->head.flags & MASQ_P_IPV6))
		return false;
	return has_way_out(netdev, policy, link, family) ||
	       !has_way_out(netdev, policy, link, family == 4 ? 6 : 4);
}

bool uplink_wanted(const struct netdev *netdev, struct policy *policy,
		   const struct netdev_link *link)
{
	if (!has_way_out(netdev, policy, link, 0))
		return false;
	/*
	 * A VLAN's packets go through its parent's hooks as well: where the
	 * parent is an uplink itself, its hooks see all of both. So do a
	 * macvlan's, but nothing in them says whose they are, and they would
	 * get the parent's address.
	 */
	for (int depth = 0; depth < 8 && !strcmp(link->kind, "vlan"); depth++) {
		link = netdev_by_index(netdev, link->lower);
		if (!link)
			break;
		if (has_way_out(netdev, policy, link, 0))
			return false;
	}
	return true;
}
