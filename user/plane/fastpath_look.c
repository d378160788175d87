// SPDX-License-Identifier: GPL-2.0-only
/*
 * fastpath_look.c - what stands against the fast path: looks at interfaces, what
 * is between them and the stack, and netfilter's rules. See fastpath.h.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/nfprog.h"
#include "kernel/sysctl.h"
#include "kernel/varying.h"
#include "kernel/xfrm.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/node.h"
#include "plane/podhook.h"

#define EBTABLES   "/sys/module/ebtables"
#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

__attribute__((format(printf, 2, 3))) static void against(char *why,
							  const char *fmt, ...)
{
	va_list args;

	if (*why) /* the first is enough */
		return;
	va_start(args, fmt);
	vsnprintf(why, FASTPATH_WHY, fmt, args);
	va_end(args);
}

static void against_queue(const struct netdev_link *link, char *why)
{
	against(why, "a queue: %s", *link->qdisc ? link->qdisc : "unknown");
}

static void against_other(const struct netdev_link *link, enum hook_dir dir,
			  const struct hook_prog *p, char *why)
{
	const char *dir_name = hook_dir_name(dir);

	if (p->kind == HOOK_TC && !strncmp(p->name, "masq_pod_", 9))
		against(why,
			"another instance's hook, or one whose pins are gone: "
			"tc filter del dev %s %s prio %u handle %#x bpf",
			link->name, dir_name, p->priority, p->handle);
	else
		against(why, "%s on its %s: %s%s%s",
			p->kind == HOOK_TCX ? "a TCX program" : "a tc filter",
			dir_name, *p->name ? p->name : p->type,
			*p->name || *p->type ? "" : "program ",
			*p->name || *p->type ? "" : "of others");
}

/*
 * Programs and filters that a packet of the fast path would not meet, or would
 * meet with other addresses than it has on its way through the stack.
 */
static int look_at_chains(const struct instance *instance,
			  const struct netdev_link *link, bool filter,
			  struct fastpath_link *found)
{
	int err = 0;

	found->hooked = true;
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !*found->why; dir++) {
		struct hook_chain chain;

		err = hook_look(instance, link, dir, &chain);
		if (err)
			break;
		for (size_t i = 0; i < chain.count; i++) {
			/* of ours one too many, for a moment, is seen by the
			 * packets: none has consent then */
			if (!chain.progs[i].ours)
				against_other(link, dir, &chain.progs[i],
					      found->why);
		}
		found->hooked &= podhook_is_whole(instance, link->ifindex,
						  &chain, dir, filter);
		free(chain.progs);
	}
	return err;
}

/* A device that packets go through in the stack, and on the fast path don't. */
static int look_through(const struct instance *instance,
			const struct netdev_link *link,
			struct fastpath_link *found)
{
	if (!strcmp(link->qdisc, "noqueue"))
		return look_at_chains(instance, link, false, found);
	against_queue(link, found->why);
	return 0;
}

/*
 * A bridge, a VLAN's device on one, a VRF: packets between an interface that is
 * hooked and the stack go through it.
 */
static bool is_between(const struct netdev *netdev,
		       const struct netdev_link *link)
{
	const struct netdev_link *lower =
		link->lower ? netdev_by_index(netdev, link->lower) : NULL;

	return !strcmp(link->kind, "bridge") || !strcmp(link->kind, "vrf") ||
	       (lower && !strcmp(lower->kind, "bridge"));
}

static int look_between(const struct instance *instance,
			const struct netdev *netdev, struct fastpath_view *out)
{
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		struct fastpath_link *found = &out->between[out->between_count];

		if (!link->up || !is_between(netdev, link))
			continue;
		found->ifindex = link->ifindex;
		snprintf(found->name, sizeof(found->name), "%s", link->name);
		err = look_through(instance, link, found);
		if (err == -ENODEV) { /* it has just gone */
			*found = (struct fastpath_link){};
			err = 0;
			continue;
		}
		out->between_count++;
	}
	return err;
}

/* The pod's bridge, and the VLANs on it that the pod may be in. */
static void against_bridge(const struct netdev *netdev,
			   const struct fastpath_view *view, uint32_t bridge,
			   char *why)
{
	for (size_t i = 0; i < view->between_count; i++) {
		const struct fastpath_link *found = &view->between[i];
		const struct netdev_link *link =
			netdev_by_index(netdev, found->ifindex);

		if (*found->why && link &&
		    (link->ifindex == bridge || link->lower == bridge))
			against(why, "behind %s: %.*s", link->name,
				FASTPATH_WHY - IFNAMSIZ - 16, found->why);
	}
}

/* enum bpf_attach_type of kernel 6.7 */
enum {
	NETKIT_PRIMARY = 54,
	NETKIT_PEER = 55
};

/*
 * netkit runs programs of its own, and what they let pass (or its policy, where
 * there are none) is asked of packets that are given to the device; by the fast
 * path they are given to its other end.
 */
static void against_netkit(const struct netdev_link *link, char *why)
{
	if (link->drops)
		against(why, "it drops what no program of its own lets pass");
	for (int type = NETKIT_PRIMARY; type <= NETKIT_PEER; type++) {
		uint32_t count = 0;
		/* found by its ifindex instead of an fd */
		int err = bpf_prog_query(link->ifindex, type, 0, NULL, NULL,
					 &count);

		if (err && err != -ENOENT)
			against(why, "its own programs cannot be looked at: %s",
				strerror(-err));
		else if (count)
			against(why, "a program of netkit's own");
	}
}

static bool is_pair(const struct netdev_link *link)
{
	return !strcmp(link->kind, "veth") || !strcmp(link->kind, "netkit");
}

static int look_at_pod(const struct instance *instance,
		       const struct netdev *netdev,
		       const struct fastpath_view *view,
		       const struct netdev_link *link, bool filter,
		       struct fastpath_link *found)
{
	const struct netdev_link *master =
		link->master ? netdev_by_index(netdev, link->master) : NULL;
	char *why = found->why;
	int err = 0;

	if (!link->up)
		against(why, "it is down");
	if (link->mtu < MASQ_WAY_LEAST4)
		against(why, "its MTU is %u", link->mtu);
	if (!link->afar)
		against(why, "both ends of the pair are on this node");
	if (strcmp(link->qdisc, "noqueue"))
		against_queue(link, why);
	if (master && strcmp(master->kind, "bridge"))
		against(why, "a port of %s, which is no bridge", master->name);
	if (master && (!access(EBTABLES, F_OK) || errno != ENOENT))
		against(why,
			"a port of %s, and ebtables, whose rules cannot be "
			"read, is loaded",
			master->name);
	if (!strcmp(link->kind, "netkit"))
		against_netkit(link, why);
	if (master)
		against_bridge(netdev, view, master->ifindex, why);
	if (!*why)
		err = look_at_chains(instance, link, filter, found);
	if (!err && !*why && filter && !found->hooked)
		err = podhook_lacks(link, why, FASTPATH_WHY);
	return err;
}

/* Queues that treat packets of one flow alike and lose none by their rate. */
static bool is_usual_queue(const char *qdisc)
{
	static const char *const usual[] = { "noqueue", "mq", "pfifo_fast",
					     "fq_codel", "fq" };

	for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		if (!strcmp(qdisc, usual[i]))
			return true;
	return false;
}

/* The kernel nests devices no deeper (MAX_NEST_DEV). */
#define NESTED 8

/*
 * What lies above the uplink and sends packets out of it as they are: macvlan,
 * ipvlan, a bridge or bond on such. A route may go by it, and the fast path leads
 * straight out of the uplink. A VLAN's packets have a tag, by which they are known.
 */
static int look_above(const struct instance *instance,
		      const struct netdev *netdev,
		      const struct netdev_link *link, int depth, char *why)
{
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && !err && !*why; i++) {
		const struct netdev_link *over = &netdev->links[i];
		struct fastpath_link found = {};

		if (!over->up || (link->master != over->ifindex &&
				  (over->lower != link->ifindex ||
				   !strcmp(over->kind, "vlan"))))
			continue;
		err = look_through(instance, over, &found);
		if (*found.why)
			against(why, "above it, %s: %.*s", over->name,
				FASTPATH_WHY - IFNAMSIZ - 16, found.why);
		if (!err && !*why && depth)
			err = look_above(instance, netdev, over, depth - 1,
					 why);
		if (err == -ENODEV) /* it has just gone */
			err = 0;
	}
	return err;
}

static int look_at_uplink(const struct instance *instance,
			  const struct netdev *netdev,
			  const struct netdev_link *link,
			  struct fastpath_link *found)
{
	const struct netdev_link *master =
		link->master ? netdev_by_index(netdev, link->master) : NULL;
	char *why = found->why;
	int err = 0;

	if (!netdev_is_ethernet(link))
		against(why, "its packets have no Ethernet header");
	if (link->mtu < MASQ_WAY_LEAST4)
		against(why, "its MTU is %u", link->mtu);
	if (!is_usual_queue(link->qdisc))
		against_queue(link, why);
	if (master && strcmp(master->kind, "vrf"))
		against(why, "a port of %s", master->name);
	if (!*why)
		err = look_at_chains(instance, link, false, found);
	if (!err && !*why)
		err = look_above(instance, netdev, link, NESTED, why);
	return err;
}

/* Packets up to MASQ_WAY_LEAST4 are taken for equally large; what a route does
 * to a packet beside sending it on is done on its way through the stack. */
static void look_at_routes(const struct netdev *netdev, char *why)
{
	if (netdev->rule_varies)
		against(why,
			"a routing rule by flow label, traffic class or tunnel");
	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *route = &netdev->routes[i];

		if (route->varies)
			against(why,
				"a route with a program, IOAM or a tunnel's end");
		if (route->dst.addr.family == 4 && route->mtu &&
		    route->mtu < MASQ_WAY_LEAST4)
			against(why, "a route with an MTU of %u", route->mtu);
	}
}

#define SHORT	 "conntrack's timeouts: " /* it sees a packet a second */
#define IS_SHORT " is shorter than 3 s"

/* Settings by which packets of a flow are not alike, and what else they may be. A
 * kernel that has not got one does not do it. */
static const struct {
	const char *name;
	long least, most;
	const char *why;
} settings[] = {
	{ "ipv4/ip_forward_update_priority", 1, 1,
	  "ip_forward_update_priority is not 1: packets keep the priority that each was sent with" },
	/* before kernel 6.0: by the port */
	{ "netfilter/nf_conntrack_helper", 0, 0,
	  "nf_conntrack_helper is not 0: conntrack gives helpers by itself" },
	{ "netfilter/nf_conntrack_udp_timeout", 3, LONG_MAX,
	  SHORT "nf_conntrack_udp_timeout" IS_SHORT },
	{ "netfilter/nf_conntrack_udp_timeout_stream", 3, LONG_MAX,
	  SHORT "nf_conntrack_udp_timeout_stream" IS_SHORT },
	{ "netfilter/nf_conntrack_tcp_timeout_established", 3, LONG_MAX,
	  SHORT "nf_conntrack_tcp_timeout_established" IS_SHORT },
};

static void look_at_settings(char *why)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		long value = sysctl_net(settings[i].name);

		if (value == -ENOENT)
			continue;
		if (value < 0)
			against(why, "net/%s cannot be read", settings[i].name);
		else if (value < settings[i].least || value > settings[i].most)
			against(why, "%s", settings[i].why);
	}
}

/* What is neither an interface's nor a rule's. */
static void look_at_stack(char *why)
{
	switch (xfrm_wants_forwarded()) {
	case 0:
		break;
	case 1:
		against(why,
			"an IPsec policy of what is forwarded: the stack alone sees which packets come or go by it");
		break;
	default:
		against(why, "IPsec policies cannot be read");
	}
	switch (nfprog_meets_forwarded()) {
	case 0:
		break;
	case 1:
		against(why,
			"a BPF program on a netfilter hook that forwarded packets meet");
		break;
	default:
		against(why,
			"BPF programs on netfilter hooks cannot be looked at");
	}
	look_at_settings(why);
}

int fastpath_look(const struct instance *instance, const struct netdev *netdev,
		  struct fastpath_view *out)
{
	bool filter = podhook_by_filter(instance);
	uint32_t *uplinks;
	size_t count;
	int err;

	*out = (struct fastpath_view){};
	err = node_uplinks(instance, &uplinks, &count);
	if (err)
		return err;
	out->links = calloc(2 * netdev->link_count + 2, sizeof(*out->links));
	if (!out->links) {
		log_error("fast path: out of memory");
		err = -ENOMEM;
	} else {
		out->between = out->links + netdev->link_count + 1;
		err = look_between(instance, netdev, out);
	}
	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		struct fastpath_link *found = &out->links[out->count];
		bool uplink = false;

		for (size_t j = 0; j < count; j++)
			uplink |= uplinks[j] == link->ifindex;
		if (!uplink && !is_pair(link))
			continue;
		found->ifindex = link->ifindex;
		snprintf(found->name, sizeof(found->name), "%s", link->name);
		found->pod = !uplink;
		err = uplink ? look_at_uplink(instance, netdev, link, found)
			     : look_at_pod(instance, netdev, out, link, filter,
					   found);
		if (err == -ENODEV) { /* it has just gone */
			*found = (struct fastpath_link){};
			err = 0;
			continue;
		}
		out->count++;
	}
	free(uplinks);
	if (err)
		return err;
	look_at_routes(netdev, out->node);
	look_at_stack(out->node);
	if (*out->node)
		return 0;
	if (varying_find(out->node, sizeof(out->node), &out->tracked) < 0)
		against(out->node, "netfilter's rules cannot be read");
	else if (out->tracked && access(KERNEL_BTF, R_OK))
		against(out->node,
			"rules go by conntrack's states, and this kernel (no BTF) does not tell where a packet has its own");
	return 0;
}
