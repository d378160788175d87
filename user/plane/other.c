// SPDX-License-Identifier: GPL-2.0-only
/* other.c - see other.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/rtnetlink.h>
#include "plane/beside.h"
#include "plane/node.h"
#include "plane/other.h"

/* In every network namespace. */
#define LOOPBACK_IFINDEX 1

static bool is_one_of(const char *kind, const char *const *kinds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}
#define IS_ONE_OF(kind, kinds) \
	is_one_of(kind, kinds, sizeof(kinds) / sizeof((kinds)[0]))

/* Has it a network of its own? What a CNI puts there is an address alone. */
static bool has_network(const struct netdev *netdev, uint32_t ifindex)
{
	for (size_t i = 0; i < netdev->addr_count; i++) {
		const struct netdev_addr *a = &netdev->addrs[i];

		if (a->ifindex == ifindex && a->scope == RT_SCOPE_UNIVERSE &&
		    a->plen < (a->addr.family == 4 ? 32 : 128))
			return true;
	}
	return false;
}

bool other_may_bring(const struct netdev *netdev,
		     const struct netdev_link *link)
{
	static const char *const never[] = { "dummy", "ifb", "nlmon", "vrf",
					     "vcan" };
	static const char *const masters[] = { "bridge", "bond", "team",
					       "openvswitch" };
	static const char *const pods[] = { "veth", "netkit", "tun" };
	const struct netdev_link *other;

	if (link->ifindex == LOOPBACK_IFINDEX || IS_ONE_OF(link->kind, never))
		return false;
	other = link->master ? netdev_by_index(netdev, link->master) : NULL;
	if (other && IS_ONE_OF(other->kind, masters))
		return false;
	/* a tun without an Ethernet header is a VPN's */
	if (IS_ONE_OF(link->kind, pods) && netdev_is_ethernet(link))
		return has_network(netdev, link->ifindex);
	if (strcmp(link->kind, "bridge"))
		return true;
	for (size_t i = 0; i < netdev->link_count; i++) {
		other = &netdev->links[i];
		if (other->master == link->ifindex &&
		    !IS_ONE_OF(other->kind, pods))
			return true;
	}
	return false;
}

bool other_is_blind(const struct instance *instance,
		    const struct netdev *netdev, const struct netdev_link *link)
{
	struct masq_iface iface;

	return link->up && other_may_bring(netdev, link) &&
	       !(instance->meta.features & MASQ_FEAT_CT) &&
	       !node_uplink(instance, link->ifindex, &iface) &&
	       !beside_is_there(instance, link->ifindex);
}

int other_sync(struct instance *instance, const struct netdev *netdev,
	       int (*attach)(void *data, const struct netdev_link *link),
	       int (*detach)(void *data, const struct netdev_link *link),
	       void *data)
{
	struct masq_iface iface;
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		int uplink;

		if (!other_may_bring(netdev, link)) {
			/* a pod's now, or a port */
			if (beside_is_there(instance, link->ifindex))
				err = detach(data, link);
			continue;
		}
		uplink = node_uplink(instance, link->ifindex, &iface);
		if (uplink < 0)
			err = uplink;
		if (uplink)
			continue;
		err = attach(data, link);
		if (err == -EOPNOTSUPP || err == -ENODEV) /* it went away */
			err = 0;
	}
	return err;
}
