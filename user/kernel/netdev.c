// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev.c - the node's links, addresses and routes: the dumps, next hops as
 * objects, and the question for one way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include "base/log.h"
#include "kernel/netdev.h"
#include "kernel/netdev_parse.h"
#include "kernel/netlink.h"
#include "kernel/rule.h"

/* --- next hops as objects of their own --------------------------------- */

struct nexthop {
	uint32_t id;
	uint32_t member; /* of a group, which has an entry for each; 0: none */
	uint32_t ifindex;
	struct addr gateway;
	bool wraps;
	bool varies;
};

struct nexthops {
	struct nexthop *items;
	size_t count;
};

static int add_nexthop(struct nexthops *hops, const struct nexthop *hop)
{
	struct nexthop *grown =
		reallocarray(hops->items, hops->count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	hops->items = grown;
	grown[hops->count++] = *hop;
	return 0;
}

static int nexthop_message(const struct nlmsghdr *message, void *data)
{
	const struct nhmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *group = NULL, *type = NULL, *encap = NULL, *attr;
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
				netdev_read_addr(attr, info->nh_family,
						 &hop.gateway);
			break;
		case NHA_GROUP:
			group = attr;
			break;
		case NHA_ENCAP_TYPE:
			type = attr;
			break;
		case NHA_ENCAP:
			encap = attr;
			break;
		}
	}
	hop.wraps = netdev_wraps(type, encap);
	hop.varies = netdev_varies(type);
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
		route.wraps = hop->wraps;
		route.varies = hop->varies;
		/* a black hole has no interface */
		if (hop->ifindex)
			err = netdev_add_route(netdev, &route);
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

static void begin_tables(void *data)
{
	((struct netdev *)data)->table_count = 0;
	((struct netdev *)data)->rule_varies = false;
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

static int read_links(struct netdev *netdev)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	int err = netlink_dump(RTM_GETLINK, &link, sizeof(link),
			       netdev_link_message, begin_links, netdev);

	if (!err && netdev->link_count)
		qsort(netdev->links, netdev->link_count,
		      sizeof(netdev->links[0]), by_ifindex);
	return err;
}

static int read_addrs(struct netdev *netdev)
{
	struct ifaddrmsg addr = { .ifa_family = AF_UNSPEC };

	return netlink_dump(RTM_GETADDR, &addr, sizeof(addr),
			    netdev_addr_message, begin_addrs, netdev);
}

static int read_rules(struct netdev *netdev)
{
	struct fib_rule_hdr rule = { .family = AF_UNSPEC };
	int err = netlink_dump(RTM_GETRULE, &rule, sizeof(rule),
			       netdev_rule_message, begin_tables, netdev);

	return err == -EOPNOTSUPP ? 0 : err; /* a kernel without them */
}

static int read_routes(struct netdev *netdev)
{
	struct rtmsg route = { .rtm_family = AF_UNSPEC };
	int err = 0;

	for (int i = 0; i < NETLINK_TRIES; i++) {
		err = netlink_dump(RTM_GETROUTE, &route, sizeof(route),
				   netdev_route_message, begin_routes, netdev)
			      ?: resolve_nexthops(netdev);
		if (err <= 0)
			break;
	}
	return err < 0 ? err : 0;
}

static int read_parts(struct netdev **out, bool all)
{
	static const struct {
		const char *name;
		int (*read)(struct netdev *netdev);
	} parts[] = { { "links", read_links },
		      { "addresses", read_addrs },
		      { "rules", read_rules },
		      { "routes", read_routes } };
	struct netdev *netdev = calloc(1, sizeof(*netdev));
	size_t i = 0, count = all ? sizeof(parts) / sizeof(*parts) : 1;
	int err = netdev ? 0 : -ENOMEM;

	for (; i < count && !err; i++)
		err = parts[i].read(netdev);
	if (!err) {
		*out = netdev;
		return 0;
	}
	log_error("netlink: cannot read the %s: %s", parts[i ? i - 1 : 0].name,
		  strerror(-err));
	netdev_free(netdev);
	return err;
}

int netdev_read(struct netdev **out)
{
	return read_parts(out, true);
}

int netdev_read_links(struct netdev **out)
{
	return read_parts(out, false);
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
	free(netdev->tables);
	free(netdev);
}

/* --- asking ------------------------------------------------------------ */

static int route_found(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr, *type = NULL, *encap = NULL;
	struct netdev_found *found = data;

	found->type = rtm->rtm_type;
	mnl_attr_for_each(attr, message, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_OIF:
			found->ifindex = netlink_u32(attr);
			break;
		case RTA_ENCAP_TYPE:
			type = attr;
			break;
		case RTA_ENCAP:
			encap = attr;
			break;
		}
	}
	found->wraps = netdev_wraps(type, encap);
	return 0;
}

static int ask(const struct addr *dst, const struct addr *src, uint32_t iif,
	       const struct netdev_kind *kind, uint32_t flags,
	       int (*each)(const struct nlmsghdr *message, void *data),
	       void *data)
{
	char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	size_t length = dst->family == 4 ? 4 : 16;
	struct rtmsg *rtm;
	int err;

	request->nlmsg_type = RTM_GETROUTE;
	/* the acknowledgement says that this was all */
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = 1;
	rtm = mnl_nlmsg_put_extra_header(request, sizeof(*rtm));
	rtm->rtm_family = dst->family == 4 ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = 8 * length;
	rtm->rtm_flags = flags;
	mnl_attr_put(request, RTA_DST, length, dst->a);
	if (src) {
		rtm->rtm_src_len = 8 * length;
		mnl_attr_put(request, RTA_SRC, length, src->a);
	}
	if (iif)
		mnl_attr_put_u32(request, RTA_IIF, iif);
	if (kind && kind->proto)
		mnl_attr_put_u8(request, RTA_IP_PROTO, kind->proto);
	if (kind && kind->port)
		mnl_attr_put_u16(request, RTA_DPORT, kind->port);
	err = netlink_ask(request, sizeof(*rtm), each, data);
	if (err == -ENETUNREACH && rule_says_unreachable(dst, src, iif, kind))
		err = -EHOSTUNREACH;
	return err;
}

int netdev_ask_route(const struct addr *dst, const struct addr *src,
		     uint32_t iif, const struct netdev_kind *kind,
		     int (*each)(const struct nlmsghdr *message, void *data),
		     void *data)
{
	return ask(dst, src, iif, kind, 0, each, data);
}

struct ways {
	uint32_t *ifindexes;
	size_t max, count;
};

static void add_way(struct ways *ways, uint32_t ifindex)
{
	for (size_t i = 0; i < ways->count; i++)
		if (ways->ifindexes[i] == ifindex)
			return;
	if (ifindex && ways->count < ways->max)
		ways->ifindexes[ways->count++] = ifindex;
}

static int route_ways(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct rtmsg))
	{
		const struct rtnexthop *hop = mnl_attr_get_payload(attr);
		int left = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == RTA_OIF)
			add_way(data, netlink_u32(attr));
		if (mnl_attr_get_type(attr) != RTA_MULTIPATH)
			continue;
		for (; RTNH_OK(hop, left); hop = RTNH_NEXT(hop)) {
			if (!(hop->rtnh_flags & RTNH_F_DEAD))
				add_way(data, hop->rtnh_ifindex);
			left -= RTNH_ALIGN(hop->rtnh_len);
		}
	}
	return 0;
}

int netdev_ways_from(const struct addr *dst, const struct addr *src,
		     uint32_t iif, const struct netdev_kind *kind,
		     uint32_t *ifindexes, size_t max, size_t *count)
{
	struct ways ways = { .ifindexes = ifindexes, .max = max };
	/* the route as it stands, not what became of it for this packet */
	int err = ask(dst, src, iif, kind, RTM_F_FIB_MATCH, route_ways, &ways);

	*count = err ? 0 : ways.count;
	return err;
}

int netdev_find_way(const struct addr *dst, const struct addr *src,
		    uint32_t iif, const struct netdev_kind *kind,
		    struct netdev_found *out)
{
	struct netdev_found found = {};
	int err = netdev_ask_route(dst, src, iif, kind, route_found, &found);

	if (!err && !found.ifindex)
		err = -ENETUNREACH;
	if (!err)
		*out = found;
	return err;
}

int netdev_route_from(const struct addr *dst, const struct addr *src,
		      uint32_t iif, const struct netdev_kind *kind,
		      uint32_t *ifindex)
{
	struct netdev_found found;
	int err = netdev_find_way(dst, src, iif, kind, &found);

	if (!err)
		*ifindex = found.ifindex;
	return err;
}

int netdev_route_to(const struct addr *dst, uint32_t *ifindex)
{
	return netdev_route_from(dst, NULL, 0, NULL, ifindex);
}
