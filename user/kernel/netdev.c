// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev.c - the node's links, addresses and routes, and which address the
 * kernel would masquerade to.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include "base/log.h"
#include "kernel/netdev.h"
#include "kernel/netlink.h"

/* --- reading ----------------------------------------------------------- */

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

static void read_addr(const struct nlattr *attr, uint8_t af, struct addr *out)
{
	size_t length = af == AF_INET ? 4 : 16;

	if (mnl_attr_get_payload_len(attr) < length)
		return;
	memset(out, 0, sizeof(*out));
	out->family = af == AF_INET ? 4 : 6;
	memcpy(out->a, mnl_attr_get_payload(attr), length);
}

static void read_link_kind(const struct nlattr *info, struct netdev_link *link)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			snprintf(link->kind, sizeof(link->kind), "%s",
				 netlink_str(attr));
	}
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

static int link_message(const struct nlmsghdr *message, void *data)
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
	/* of others it is the far end of a pair or the way of a tunnel */
	if (strcmp(link->kind, "vlan") && strcmp(link->kind, "macvlan") &&
	    strcmp(link->kind, "ipvlan"))
		link->lower = 0;
	return err;
}

static int addr_message(const struct nlmsghdr *message, void *data)
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
			read_addr(attr, info->ifa_family, &address);
			break;
		case IFA_LOCAL: /* point to point: IFA_ADDRESS is the peer's */
			read_addr(attr, info->ifa_family, &local);
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

static int add_route(struct netdev *netdev, const struct netdev_route *route)
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

static int add_local(struct netdev *netdev, const struct cidr *cidr)
{
	struct cidr *new =
		grow(&netdev->locals, &netdev->local_count, sizeof(*new));

	if (!new)
		return -ENOMEM;
	*new = *cidr;
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
		route->ifindex = hop->rtnh_ifindex;
		route->gateway = (struct addr){};
		mnl_attr_for_each_payload((void *)RTNH_DATA(hop),
					  hop->rtnh_len - sizeof(*hop))
		{
			if (mnl_attr_get_type(attr) == RTA_GATEWAY)
				read_addr(attr, af, &route->gateway);
			else if (mnl_attr_get_type(attr) == RTA_VIA)
				read_via(attr, &route->gateway);
		}
		err = add_route(netdev, route);
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

static int route_message(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(message);
	struct netdev_route route = { .table = info->rtm_table };
	const struct nlattr *multipath = NULL, *attr;
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
			read_addr(attr, af, &route.dst.addr);
			break;
		case RTA_OIF:
			route.ifindex = netlink_u32(attr);
			break;
		case RTA_GATEWAY:
			read_addr(attr, af, &route.gateway);
			break;
		case RTA_VIA:
			read_via(attr, &route.gateway);
			break;
		case RTA_NH_ID:
			route.nexthop = netlink_u32(attr);
			break;
		case RTA_PREFSRC:
			read_addr(attr, af, &route.prefsrc);
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
		}
	}
	if (local)
		return add_local(data, &route.dst);
	/* with nexthop_compat_mode the kernel says what the object says */
	if (multipath || route.ifindex)
		route.nexthop = 0;
	if (multipath)
		return add_multipath(data, &route, multipath, af);
	return add_route(data, &route);
}

/* --- next hops as objects of their own --------------------------------- */

struct nexthop {
	uint32_t id;
	uint32_t member; /* of a group, which has an entry for each; 0: none */
	uint32_t ifindex;
	struct addr gateway;
};

struct nexthops {
	struct nexthop *items;
	size_t count;
};

static int add_nexthop(struct nexthops *hops, const struct nexthop *hop)
{
	struct nexthop *new = grow(&hops->items, &hops->count, sizeof(*new));

	if (!new)
		return -ENOMEM;
	*new = *hop;
	return 0;
}

static int nexthop_message(const struct nlmsghdr *message, void *data)
{
	const struct nhmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *group = NULL, *attr;
	struct nexthop hop = {};
	int err = 0;

	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr) & NLA_TYPE_MASK) {
		case NHA_ID:
			hop.id = netlink_u32(attr);
			break;
		case NHA_OIF:
			hop.ifindex = netlink_u32(attr);
			break;
		case NHA_GATEWAY:
			if (info->nh_family == AF_INET ||
			    info->nh_family == AF_INET6)
				read_addr(attr, info->nh_family, &hop.gateway);
			break;
		case NHA_GROUP:
			group = attr;
			break;
		}
	}
	if (!group)
		return add_nexthop(data, &hop);
	for (size_t i = 0; !err && (i + 1) * sizeof(struct nexthop_grp) <=
					   mnl_attr_get_payload_len(group);
	     i++) {
		const struct nexthop_grp *members = mnl_attr_get_payload(group);

		hop.member = members[i].id;
		err = add_nexthop(data, &hop);
	}
	return err;
}

static void begin_nexthops(void *data)
{
	((struct nexthops *)data)->count = 0;
}

/* One route for each way that the object leads; *found: it is there. */
static int resolve(struct netdev *netdev, struct netdev_route route,
		   const struct nexthops *hops, uint32_t id, bool in_group,
		   bool *found)
{
	int err = 0;

	for (size_t i = 0; i < hops->count && !err; i++) {
		const struct nexthop *hop = &hops->items[i];

		if (hop->id != id)
			continue;
		*found = true;
		if (hop->member && !in_group) {
			err = resolve(netdev, route, hops, hop->member, true,
				      found);
			continue;
		}
		route.ifindex = hop->ifindex;
		route.gateway = hop->gateway;
		/* a black hole has no interface */
		if (hop->ifindex)
			err = add_route(netdev, &route);
	}
	return err;
}

/*
 * Routes that only name an object become the routes that they mean. 1: an
 * object was not there; the routes may have changed since they were read.
 */
static int resolve_nexthops(struct netdev *netdev)
{
	const struct nhmsg request = { .nh_family = AF_UNSPEC };
	struct nexthops hops = {};
	size_t count = netdev->route_count, kept = 0;
	bool missing = false;
	int err;

	for (size_t i = 0; i < count; i++)
		missing |= netdev->routes[i].nexthop != 0;
	if (!missing)
		return 0;
	missing = false;
	err = netlink_dump(RTM_GETNEXTHOP, &request, sizeof(request),
			   nexthop_message, begin_nexthops, &hops);
	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_route route = netdev->routes[i];
		bool found = !route.nexthop;

		if (!found)
			err = resolve(netdev, route, &hops, route.nexthop,
				      false, &found);
		missing |= !found;
	}
	for (size_t i = 0; i < netdev->route_count; i++)
		if (netdev->routes[i].ifindex)
			netdev->routes[kept++] = netdev->routes[i];
	netdev->route_count = kept;
	free(hops.items);
	return err ?: missing;
}

static void begin_links(void *data)
{
	((struct netdev *)data)->link_count = 0;
	((struct netdev *)data)->altname_count = 0;
}

static void begin_addrs(void *data)
{
	((struct netdev *)data)->addr_count = 0;
}

static void begin_routes(void *data)
{
	((struct netdev *)data)->route_count = 0;
	((struct netdev *)data)->local_count = 0;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct netdev_link *x = a, *y = b;

	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

int netdev_read(struct netdev **out)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct ifaddrmsg addr = { .ifa_family = AF_UNSPEC };
	struct rtmsg route = { .rtm_family = AF_UNSPEC };
	struct netdev *netdev = calloc(1, sizeof(*netdev));
	const char *what = "links";
	int err = -ENOMEM;

	if (!netdev)
		goto out;
	err = netlink_dump(RTM_GETLINK, &link, sizeof(link), link_message,
			   begin_links, netdev);
	if (err)
		goto out;
	what = "addresses";
	err = netlink_dump(RTM_GETADDR, &addr, sizeof(addr), addr_message,
			   begin_addrs, netdev);
	if (err)
		goto out;
	what = "routes";
	for (int i = 0; i < NETLINK_TRIES; i++) {
		err = netlink_dump(RTM_GETROUTE, &route, sizeof(route),
				   route_message, begin_routes, netdev)
			      ?: resolve_nexthops(netdev);
		if (err <= 0)
			break;
	}
	if (err < 0)
		goto out;
	if (netdev->link_count)
		qsort(netdev->links, netdev->link_count,
		      sizeof(netdev->links[0]), by_ifindex);
	*out = netdev;
	return 0;
out:
	log_error("netlink: cannot read the %s: %s", what, strerror(-err));
	netdev_free(netdev);
	return err;
}

void netdev_free(struct netdev *netdev)
{
	if (!netdev)
		return;
	free(netdev->links);
	free(netdev->altnames);
	free(netdev->addrs);
	free(netdev->routes);
	free(netdev->locals);
	free(netdev);
}

/* --- asking ------------------------------------------------------------ */

static int route_oif(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message,
			  sizeof(struct rtmsg)) if (mnl_attr_get_type(attr) ==
						    RTA_OIF) *
		(uint32_t *)data = netlink_u32(attr);
	return 0;
}

int netdev_ask_route(const struct addr *dst, const struct addr *src,
		     uint32_t iif,
		     int (*each)(const struct nlmsghdr *message, void *data),
		     void *data)
{
	char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	size_t length = dst->family == 4 ? 4 : 16;
	struct rtmsg *rtm;

	request->nlmsg_type = RTM_GETROUTE;
	/* the acknowledgement says that this was all */
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = 1;
	rtm = mnl_nlmsg_put_extra_header(request, sizeof(*rtm));
	rtm->rtm_family = dst->family == 4 ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = 8 * length;
	mnl_attr_put(request, RTA_DST, length, dst->a);
	if (src) {
		rtm->rtm_src_len = 8 * length;
		mnl_attr_put(request, RTA_SRC, length, src->a);
	}
	if (iif)
		mnl_attr_put_u32(request, RTA_IIF, iif);
	return netlink_ask(request, sizeof(*rtm), each, data);
}

int netdev_route_from(const struct addr *dst, const struct addr *src,
		      uint32_t iif, uint32_t *ifindex)
{
	uint32_t oif = 0;
	int err = netdev_ask_route(dst, src, iif, route_oif, &oif);

	if (!err && !oif)
		err = -ENETUNREACH;
	if (!err)
		*ifindex = oif;
	return err;
}

int netdev_route_to(const struct addr *dst, uint32_t *ifindex)
{
	return netdev_route_from(dst, NULL, 0, ifindex);
}
