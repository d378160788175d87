// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_routes.c - ways out that a program does not see as the kernel does,
 * attached interfaces that none leads by, and source addresses whose answers
 * have no way back.
 */
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include "kernel/netlink.h"
#include "plane/flows.h"
#include "plane/inside.h"
#include "plane/node.h"
#include "policy/uplinks.h"
#include "report/doctor.h"
#include "report/pods.h"

/* --- rules ------------------------------------------------------------- */

/* *data: the priority of the first rule by a mark, -1: none. */
static int add_rule(const struct nlmsghdr *message, void *data)
{
	const struct fib_rule_hdr *head = mnl_nlmsg_get_payload(message);
	struct nlattr *at[NETLINK_ATTRS] = { NULL };
	long *mark = data;

	if (head->family != AF_INET && head->family != AF_INET6)
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(*head), netlink_collect, at);
	if (at[FRA_FWMARK] && *mark < 0)
		*mark = at[FRA_PRIORITY] ? netlink_u32(at[FRA_PRIORITY]) : 0;
	return MNL_CB_OK;
}

static void check_rules(struct doctor *d)
{
	const struct fib_rule_hdr head = { .family = AF_UNSPEC };
	long mark = -1;
	int err = netlink_all(NETLINK_ROUTE, RTM_GETRULE, &head, sizeof(head),
			      sizeof(head), add_rule, &mark);
	bool sees_marks = d->instance &&
			  d->instance->meta.features & MASQ_FEAT_FIB_MARK;

	if (err) {
		doctor_add(d, DOCTOR_UNKNOWN, "routing", "ip rule",
			   "the rules could not be read: %s", strerror(-err));
		return;
	}
	if (mark >= 0 && d->instance && !sees_marks)
		doctor_add(
			d, DOCTOR_WARNING, "routing",
			"a kernel from 6.10 on, or name the address: snat.addresses",
			"ip rule %ld goes by a mark, and this kernel's look-up for programs does not: where it changes the way, the uplink's own address is used, not the route's src",
			mark);
	if (mark < 0 || !d->instance || sees_marks)
		doctor_add(d, DOCTOR_OK, "routing", NULL,
			   "ip rules are followed as the kernel does");
}

/* Sources that routes ask for, where the kernel does not tell them. */
static void check_hints(struct doctor *d)
{
	if (!d->instance || d->instance->meta.features & MASQ_FEAT_FIB_SRC)
		return;
	for (size_t i = 0; i < d->netdev->route_count; i++) {
		const struct netdev_route *route = &d->netdev->routes[i];
		char dest[CIDR_STRLEN], source[CIDR_STRLEN];
		struct masq_iface iface;

		if (!route->prefsrc.family || !route->gateway.family ||
		    node_uplink(d->instance, route->ifindex, &iface) <= 0 ||
		    !memcmp(route->prefsrc.a,
			    route->prefsrc.family == 4 ? &iface.addr4
						       : iface.addr6,
			    route->prefsrc.family == 4 ? 4 : 16))
			continue;
		doctor_add(
			d, DOCTOR_NOTE, "routing",
			"a kernel from 6.7 on, or snat.addresses",
			"the route to %s asks for source %s, which this kernel does not tell programs: the uplink's own address is used",
			cidr_format(&route->dst, dest, sizeof(dest)),
			addr_format(&route->prefsrc, source, sizeof(source)));
	}
}

/* As with IPsec: the hooks see the outer packet, which is the node's. */
static void check_wrapping(struct doctor *d)
{
	for (size_t i = 0; i < d->netdev->route_count; i++) {
		const struct netdev_route *route = &d->netdev->routes[i];
		const struct netdev_link *link =
			netdev_by_index(d->netdev, route->ifindex);
		char dest[CIDR_STRLEN];

		if (!route->wraps || !link ||
		    !uplink_route_leads_out(d->netdev, d->policy, link, route))
			continue;
		doctor_add(
			d, DOCTOR_WARNING, "routing",
			"keep the destination (nonMasqueradeCIDRs), or use a tunnel with an interface and attach that",
			"the route to %s wraps packets (encap) before our hook: what takes it leaves with pods' addresses inside, whatever the prefix says",
			cidr_format(&route->dst, dest, sizeof(dest)));
	}
}

/* --- attached, and nothing leaves by it --------------------------------- */

/* Is there an interface in the VRF that is no uplink? Then it has pods of its
 * own, and is what it is for. */
static bool has_pods_in(const struct doctor *d, const struct netdev_link *vrf)
{
	struct masq_iface iface;

	for (size_t i = 0; i < d->netdev->link_count; i++) {
		const struct netdev_link *link = &d->netdev->links[i];

		if (link->master == vrf->ifindex && link->up &&
		    node_uplink(d->instance, link->ifindex, &iface) <= 0)
			return true;
	}
	return false;
}

static void check_attached(struct doctor *d)
{
	for (size_t i = 0; i < d->netdev->link_count; i++) {
		const struct netdev_link *link = &d->netdev->links[i];
		const struct netdev_link *master =
			link->master ? netdev_by_index(d->netdev, link->master)
				     : NULL;
		struct masq_iface iface;

		if (node_uplink(d->instance, link->ifindex, &iface) <= 0)
			continue;
		if (!strcmp(link->kind, "vrf"))
			doctor_add(
				d, DOCTOR_WARNING, "uplinks",
				"attach the interfaces that are in it",
				"%s: a VRF: what is forwarded leaves by the interfaces in it and does not meet our hook here",
				link->name);
		else if (!link->up)
			doctor_add(d, DOCTOR_NOTE, "uplinks", NULL,
				   "%s: attached, and down", link->name);
		else if (!uplink_leads_out(d->netdev, d->policy, link) &&
			 !(master && !strcmp(master->kind, "vrf")))
			doctor_add(
				d, DOCTOR_WARNING, "uplinks",
				"ip route; masqbpf detach it, if it is another one that was meant",
				"%s: attached, and no route to a masqueraded destination leads by it",
				link->name);
		if (master && !strcmp(master->kind, "vrf") &&
		    !has_pods_in(d, master))
			doctor_add(
				d, DOCTOR_NOTE, "uplinks", NULL,
				"%s: in VRF %s: pods outside it leave by it where a rule or a route leads them there alone",
				link->name, master->name);
	}
}

/* --- source addresses ---------------------------------------------------- */

/* Has an interface it, or a route of type local? */
static bool is_ours(const struct netdev *netdev, const struct addr *addr)
{
	const struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };

	for (size_t i = 0; i < netdev->addr_count; i++)
		if (addr_equal(&netdev->addrs[i].addr, addr))
			return true;
	for (size_t i = 0; i < netdev->local_count; i++)
		if (cidr_covers(&netdev->locals[i], &host))
			return true;
	return false;
}

/* The link in whose own network it lies, where neighbours ask for it. */
static const struct netdev_link *network_of(const struct doctor *d,
					    const struct addr *addr)
{
	const struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };

	for (size_t i = 0; i < d->netdev->addr_count; i++) {
		const struct netdev_addr *own = &d->netdev->addrs[i];
		struct cidr net = cidr_of(&own->addr, own->plen);

		if (own->plen < host.plen && cidr_covers(&net, &host))
			return netdev_by_index(d->netdev, own->ifindex);
	}
	return NULL;
}

/* Has a pod that has flows an address of it? */
static bool has_a_pod(const struct doctor *d, const struct pool *pool,
		      struct addr *pod)
{
	*pod = (struct addr){};
	while (d->instance && inside_next_pod(d->instance, pool->family, pod))
		for (int i = 0; i < pool->count; i++)
			if (addr_cmp(&pool->range[i].first, pod) <= 0 &&
			    addr_cmp(pod, &pool->range[i].last) <= 0 &&
			    !is_ours(d->netdev, pod))
				return true;
	return false;
}

static void check_sources(struct doctor *d)
{
	char first[CIDR_STRLEN], all[POOL_STRLEN];
	size_t routed = 0, bad = 0;

	for (size_t i = 0; i < d->policy->snat_count; i++) {
		const struct pool *pool = &d->policy->snat[i];
		bool elsewhere = false;
		struct addr pod;

		if (has_a_pod(d, pool, &pod)) {
			bad++;
			doctor_add(
				d, DOCTOR_WARNING, "snat-addresses",
				"name addresses that no pod gets",
				"%s (snat.addresses): pod %s has an address of it, and is not reached from outside by that",
				pool_short(pool, all, sizeof(all)),
				addr_format(&pod, first, sizeof(first)));
			continue;
		}
		for (int k = 0; k < pool->count; k++) {
			const struct pool_range *range = &pool->range[k];
			const struct netdev_link *link;
			struct addr at = range->first, from = at;
			struct cidr cidr;

			/* the ends of its prefixes stand for what is between */
			while (pool_next_cidr(range, &at, &cidr)) {
				from = cidr.addr;
				if (is_ours(d->netdev, &from))
					continue;
				link = network_of(d, &from);
				if (!link) {
					elsewhere = true;
					continue;
				}
				bad++;
				doctor_add(
					d, DOCTOR_WARNING, "snat-addresses",
					"ip addr add it/32 dev lo (each of them), or let the router have a route to it by this node",
					"%s (snat.addresses) lies in the network of %s and no interface has it: nobody answers the neighbours who ask for it, so no reply comes back",
					addr_format(&from, first,
						    sizeof(first)),
					link->name);
				break;
			}
		}
		if (elsewhere) {
			routed++;
			doctor_add(
				d, DOCTOR_NOTE, "snat-addresses", NULL,
				"%s (snat.addresses): no interface has all of it: the router has to have a route to it by this node",
				pool_short(pool, all, sizeof(all)));
		}
	}
	if (d->policy->snat_count && !routed && !bad)
		doctor_add(d, DOCTOR_OK, "snat-addresses", NULL,
			   "what snat.addresses names is this node's");
}

/* --- ports ----------------------------------------------------------------- */

struct outside {
	uint16_t min, max;
	uint64_t flows;
};

static int count_outside(void *data, const struct flow *flow)
{
	struct outside *o = data;

	o->flows +=
		flow->kind == MASQ_K_FWD &&
		(flow->proto == IPPROTO_TCP || flow->proto == IPPROTO_UDP) &&
		(flow->xlat_port < o->min || flow->xlat_port > o->max);
	return 0;
}

static void check_strict(struct doctor *d)
{
	struct outside o = { d->policy->head.port_min, d->policy->head.port_max,
			     0 };
	const struct flow_filter all = {};

	if (!(d->policy->head.flags & MASQ_P_STRICT_PORTS) ||
	    flows_walk(d->instance, &all, count_outside, &o))
		return;
	if (o.flows)
		doctor_add(
			d, DOCTOR_WARNING, "ports",
			"they end by themselves, or masqbpf flush",
			"snat.strictPorts: %llu live flows have ports outside %u-%u, from before it: a firewall elsewhere that lets these in alone stops them",
			(unsigned long long)o.flows, o.min, o.max);
	else
		doctor_add(
			d, DOCTOR_OK, "ports", NULL,
			"snat.strictPorts: no live flow has a port outside %u-%u",
			o.min, o.max);
}

void doctor_check_routes(struct doctor *d)
{
	if (!d->policy || !d->netdev)
		return;
	check_rules(d);
	check_hints(d);
	check_wrapping(d);
	check_sources(d);
	if (!d->instance)
		return;
	check_attached(d);
	check_strict(d);
}
