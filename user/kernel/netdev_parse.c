// SPDX-License-Identifier: GPL-2.0-only
/* netdev_parse.c - messages of rtnetlink: a link, an address, a route each. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/if_addr.h>
#include <linux/ioam6_iptunnel.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <linux/seg6_iptunnel.h>
#include <net/if_arp.h>
#include "kernel/netdev_parse.h"
#include "kernel/netlink.h"

/* Room for one more item, zeroed; NULL: no memory. */
static void *grow(void *items, size_t *count, size_t size)
{
	void **array = items;
	char *grown = *array;

	if (!(*count & (*count - 1))) { /* none or a power of two: full */
		grown = reallocarray(grown, *count ? 2 * *count : 1, size);
		if (!grown)
			return NULL;
		*array = grown;
	}
	return memset(grown + size * (*count)++, 0, size);
}

static uint8_t max_plen(uint8_t af)
{
	return af == AF_INET ? 32 : 128;
}

void netdev_read_addr(const struct nlattr *attr, uint8_t af, struct addr *out)
{
	size_t length = af == AF_INET ? 4 : 16;

	if (mnl_attr_get_payload_len(attr) < length)
		return;
	memset(out, 0, sizeof(*out));
	out->family = af == AF_INET ? 4 : 6;
	memcpy(out->a, mnl_attr_get_payload(attr), length);
}

/* include/uapi/linux/if_link.h of kernel 6.7: IFLA_NETKIT_*, and its NETKIT_PASS */
enum {
	LINK_NETKIT_POLICY = 3,
	LINK_NETKIT_PEER_POLICY = 4,
	LINK_NETKIT_PASS = 0
};

static bool netkit_drops(const struct nlattr *data)
{
	const struct nlattr *attr;
	int pass = 0;

	mnl_attr_for_each_nested(attr, data)
	{
		uint16_t type = mnl_attr_get_type(attr);

		pass += (type == LINK_NETKIT_POLICY ||
			 type == LINK_NETKIT_PEER_POLICY) &&
			mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) &&
			mnl_attr_get_u32(attr) == LINK_NETKIT_PASS;
	}
	return pass != 2;
}

static void read_link_kind(const struct nlattr *info, struct netdev_link *link)
{
	const struct nlattr *attr, *data = NULL;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			snprintf(link->kind, sizeof(link->kind), "%s",
				 netlink_str(attr));
		else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA)
			data = attr;
	}
	link->drops = !strcmp(link->kind, "netkit") &&
		      (!data || netkit_drops(data));
}

static int read_altnames(const struct nlattr *list, uint32_t ifindex,
			 struct netdev *netdev)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, list)
	{
		struct netdev_altname *new;

		if (mnl_attr_get_type(attr) != IFLA_ALT_IFNAME)
			continue;
		new = grow(&netdev->altnames, &netdev->altname_count,
			   sizeof(*new));
		if (!new)
			return -ENOMEM;
		new->ifindex = ifindex;
		snprintf(new->name, sizeof(new->name), "%s", netlink_str(attr));
	}
	return 0;
}

int netdev_link_message(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct netdev *netdev = data;
	struct netdev_link *link;
	const struct nlattr *attr;
	int err = 0;

	link = grow(&netdev->links, &netdev->link_count, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->ifindex = info->ifi_index;
	link->type = info->ifi_type;
	link->up = info->ifi_flags & IFF_UP;
	link->carrier = info->ifi_flags & IFF_RUNNING;
	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			snprintf(link->name, sizeof(link->name), "%s",
				 netlink_str(attr));
			break;
		case IFLA_MTU:
			link->mtu = netlink_u32(attr);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(attr) == sizeof(link->mac))
				memcpy(link->mac, mnl_attr_get_payload(attr),
				       sizeof(link->mac));
			break;
		case IFLA_MASTER:
			link->master = netlink_u32(attr);
			break;
		case IFLA_LINK:
			link->lower = netlink_u32(attr);
			break;
		case IFLA_LINK_NETNSID:
			link->afar = true;
			break;
		case IFLA_QDISC:
			snprintf(link->qdisc, sizeof(link->qdisc), "%s",
				 netlink_str(attr));
			break;
		case IFLA_PROP_LIST:
			err = read_altnames(attr, info->ifi_index, netdev);
			break;
		case IFLA_LINKINFO:
			read_link_kind(attr, link);
			break;
		}
	}
	/* of others than VLANs, macvlan, macvtap, ipvlan and ipvtap it is the far
	 * end of a pair or the way of a tunnel */
	if (link->afar ||
	    (strcmp(link->kind, "vlan") && strncmp(link->kind, "macv", 4) &&
	     strncmp(link->kind, "ipv", 3)))
		link->lower = 0;
	return err;
}

int netdev_addr_message(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	struct addr address = {}, local = {};
	struct netdev *netdev = data;
	struct netdev_addr *addr;
	const struct nlattr *attr;
	uint32_t flags = info->ifa_flags;

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return 0;
	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFA_ADDRESS:
			netdev_read_addr(attr, info->ifa_family, &address);
			break;
		case IFA_LOCAL: /* point to point: IFA_ADDRESS is the peer's */
			netdev_read_addr(attr, info->ifa_family, &local);
			break;
		case IFA_FLAGS:
			flags = netlink_u32(attr);
			break;
		}
	}
	if (!local.family)
		local = address;
	if (!local.family || info->ifa_prefixlen > max_plen(info->ifa_family))
		return 0;
	addr = grow(&netdev->addrs, &netdev->addr_count, sizeof(*addr));
	if (!addr)
		return -ENOMEM;
	*addr = (struct netdev_addr){
		.ifindex = info->ifa_index,
		.addr = local,
		.plen = info->ifa_prefixlen,
		.scope = info->ifa_scope,
		.flags = flags,
	};
	return 0;
}

/* RTA_VIA: a gateway of another family than the route's (RFC 8950). */
static void read_via(const struct nlattr *attr, struct addr *out)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	size_t length = mnl_attr_get_payload_len(attr);

	if (length < sizeof(*via))
		return;
	length -= sizeof(*via);
	if (via->rtvia_family == AF_INET
		    ? length < 4
		    : via->rtvia_family != AF_INET6 || length < 16)
		return;
	memset(out, 0, sizeof(*out));
	out->family = via->rtvia_family == AF_INET ? 4 : 6;
	memcpy(out->a, via->rtvia_addr, out->family == 4 ? 4 : 16);
}

bool netdev_wraps(const struct nlattr *type, const struct nlattr *encap)
{
	const struct nlattr *attr;

	if (!type || !encap)
		return false;
	mnl_attr_for_each_nested(attr, encap)
	{
		/* struct seg6_iptunnel_encap, which begins with the mode */
		if (netlink_u16(type) == LWTUNNEL_ENCAP_SEG6 &&
		    mnl_attr_get_type(attr) == SEG6_IPTUNNEL_SRH)
			return netlink_u32(attr) != SEG6_IPTUN_MODE_INLINE;
		if (netlink_u16(type) == LWTUNNEL_ENCAP_IOAM6 &&
		    mnl_attr_get_type(attr) == IOAM6_IPTUNNEL_MODE)
			return netlink_u8(attr) != IOAM6_IPTUNNEL_MODE_INLINE;
	}
	return false;
}

bool netdev_varies(const struct nlattr *type)
{
	switch (type ? netlink_u16(type) : LWTUNNEL_ENCAP_NONE) {
	case LWTUNNEL_ENCAP_NONE:
	case LWTUNNEL_ENCAP_MPLS: /* these are seen in the packet */
	case LWTUNNEL_ENCAP_ILA:
	case LWTUNNEL_ENCAP_SEG6:
	case LWTUNNEL_ENCAP_SEG6_LOCAL:
	case LWTUNNEL_ENCAP_RPL:
		return false;
	default: /* BPF, IOAM6; a tunnel's end: IP, IP6, XFRM */
		return true;
	}
}

int netdev_add_route(struct netdev *netdev, const struct netdev_route *route)
{
	struct netdev_route *r;

	if (!route->ifindex && !route->nexthop)
		return 0;
	r = grow(&netdev->routes, &netdev->route_count, sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = *route;
	return 0;
}

struct netdev_table *netdev_add_table(struct netdev *netdev, uint8_t family,
				      uint32_t id)
{
	struct netdev_table *table =
		(struct netdev_table *)netdev_table(netdev, family, id);

	if (table)
		return table;
	table = grow(&netdev->tables, &netdev->table_count, sizeof(*table));
	if (!table)
		return NULL;
	table->family = family;
	table->id = id;
	return table;
}

/*
 * What some packets alone find local are a transparent proxy's, which takes them
 * whoever they go to (`ip rule add fwmark 1 lookup 100; ip route add local default
 * dev lo table 100`): no address of the node. A VRF's table has no rule of its own.
 */
static int add_local(struct netdev *netdev, const struct netdev_route *route)
{
	const struct netdev_table *table =
		netdev_table(netdev, route->dst.addr.family, route->table);
	struct cidr *new;

	if (!route->dst.plen || (table && !table->all))
		return 0;
	new = grow(&netdev->locals, &netdev->local_count, sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = route->dst;
	return 0;
}

static int add_multipath(struct netdev *netdev, struct netdev_route *route,
			 const struct nlattr *multipath, uint8_t af)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath);
	const struct nlattr *attr;
	int err = 0;

	while (!err && RTNH_OK(hop, left)) {
		const struct nlattr *type = NULL, *encap = NULL;

		route->ifindex = hop->rtnh_ifindex;
		route->gateway = (struct addr){};
		mnl_attr_for_each_payload((void *)RTNH_DATA(hop),
					  hop->rtnh_len - sizeof(*hop))
		{
			if (mnl_attr_get_type(attr) == RTA_GATEWAY)
				netdev_read_addr(attr, af, &route->gateway);
			else if (mnl_attr_get_type(attr) == RTA_VIA)
				read_via(attr, &route->gateway);
			else if (mnl_attr_get_type(attr) == RTA_ENCAP_TYPE)
				type = attr;
			else if (mnl_attr_get_type(attr) == RTA_ENCAP)
				encap = attr;
		}
		route->wraps = netdev_wraps(type, encap);
		route->varies = netdev_varies(type);
		err = netdev_add_route(netdev, route);
		left -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return err;
}

static uint32_t read_mtu(const struct nlattr *metrics)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, metrics)
	{
		if (mnl_attr_get_type(attr) == RTAX_MTU)
			return netlink_u32(attr);
	}
	return 0;
}

int netdev_route_message(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(message);
	struct netdev_route route = { .table = info->rtm_table };
	const struct nlattr *multipath = NULL, *type = NULL, *encap = NULL;
	const struct nlattr *attr;
	uint8_t af = info->rtm_family;
	bool local = info->rtm_type == RTN_LOCAL ||
		     info->rtm_type == RTN_ANYCAST;

	if ((af != AF_INET && af != AF_INET6) ||
	    info->rtm_dst_len > max_plen(af) ||
	    (info->rtm_type != RTN_UNICAST && !local) ||
	    info->rtm_flags & RTM_F_CLONED)
		return 0;
	route.dst.addr.family = af == AF_INET ? 4 : 6;
	route.dst.plen = info->rtm_dst_len;
	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_DST:
			netdev_read_addr(attr, af, &route.dst.addr);
			break;
		case RTA_OIF:
			route.ifindex = netlink_u32(attr);
			break;
		case RTA_GATEWAY:
			netdev_read_addr(attr, af, &route.gateway);
			break;
		case RTA_VIA:
			read_via(attr, &route.gateway);
			break;
		case RTA_NH_ID:
			route.nexthop = netlink_u32(attr);
			break;
		case RTA_PREFSRC:
			netdev_read_addr(attr, af, &route.prefsrc);
			break;
		case RTA_PRIORITY:
			route.metric = netlink_u32(attr);
			break;
		case RTA_TABLE:
			route.table = netlink_u32(attr);
			break;
		case RTA_METRICS:
			route.mtu = read_mtu(attr);
			break;
		case RTA_MULTIPATH:
			multipath = attr;
			break;
		case RTA_ENCAP_TYPE:
			type = attr;
			break;
		case RTA_ENCAP:
			encap = attr;
			break;
		}
	}
	route.wraps = netdev_wraps(type, encap);
	route.varies = netdev_varies(type);
	if (local)
		return add_local(data, &route);
	/* with nexthop_compat_mode the kernel says what the object says */
	if (multipath || route.ifindex)
		route.nexthop = 0;
	if (multipath)
		return add_multipath(data, &route, multipath, af);
	return netdev_add_route(data, &route);
}
