// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_node.c - the node around us: kernel settings, interfaces and their
 * hooks, neighbours in the chains, ports, MTU.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "kernel/sysctl.h"
#include "plane/clsact.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/maps.h"
#include "plane/node.h"
#include "plane/other.h"
#include "policy/ports.h"
#include "policy/uplinks.h"
#include "report/doctor.h"
#include "report/pods.h"

/* --- settings ---------------------------------------------------------- */

/* Without an interface that could be one, IPv4 is looked at. */
static bool needs_ipv4(const struct doctor *d)
{
	bool any = false;

	for (size_t i = 0; d->policy && d->netdev && i < d->netdev->link_count;
	     i++) {
		const struct netdev_link *link = &d->netdev->links[i];

		if (!uplink_leads_out(d->netdev, d->policy, link))
			continue;
		any = true;
		if (uplink_needs(d->netdev, d->policy, link, 4))
			return true;
	}
	return !any;
}

static void check_forwarding(struct doctor *d)
{
	bool ipv6 = d->policy && d->policy->head.flags & MASQ_P_IPV6;
	long on = sysctl_net("ipv4/ip_forward");

	if (!needs_ipv4(d))
		doctor_add(d, DOCTOR_OK, "forwarding", NULL,
			   "no IPv4 packet has a way out");
	else if (on < 0)
		doctor_add(d, DOCTOR_UNKNOWN, "forwarding",
			   "look whether /proc is mounted",
			   "net.ipv4.ip_forward cannot be read: not checked");
	else if (!on)
		doctor_add(
			d, DOCTOR_BAD, "forwarding",
			"sysctl -w net.ipv4.ip_forward=1",
			"net.ipv4.ip_forward is 0: nothing of a pod leaves the node");
	else
		doctor_add(d, DOCTOR_OK, "forwarding", NULL,
			   "net.ipv4.ip_forward is on");
	if (ipv6 && !sysctl_net("ipv6/conf/all/forwarding"))
		doctor_add(
			d, DOCTOR_BAD, "forwarding",
			"sysctl -w net.ipv6.conf.all.forwarding=1",
			"the policy translates IPv6, and net.ipv6.conf.all.forwarding is 0");
}

static void check_rp_filter(struct doctor *d, const struct netdev_link *link)
{
	char name[64];
	long all = sysctl_net("ipv4/conf/all/rp_filter"), own;

	snprintf(name, sizeof(name), "ipv4/conf/%s/rp_filter", link->name);
	own = sysctl_net(name);
	if ((own > all ? own : all) == 1 && d->netdev->link_count > 2)
		doctor_add(
			d, DOCTOR_NOTE, "rp_filter",
			"where replies may come in by another uplink, set it to 2",
			"%s: reverse path filter is strict", link->name);
}

/* What is left of snat.portRange, for what is in force. */
static void check_range(struct doctor *d, const struct masq_policy *head)
{
	uint64_t words[MASQ_PORT_WORDS] = {};
	uint32_t half, left;

	ports_set(words, head->node_port_min, head->node_port_max);
	if (d->instance && (map_read(d->instance, MAP_masq_active, 0, &half) ||
			    ports_read(d->instance, half & 1, words)))
		return;
	left = ports_left(words, head->port_min, head->port_max);
	if (!left)
		doctor_add(
			d, DOCTOR_BAD, "ports",
			"widen snat.portRange, or see net.ipv4.ip_local_reserved_ports",
			"no port of %u-%u is left: all are node ports or reserved, and flows that need one are dropped (no_port)",
			head->port_min, head->port_max);
	else if (left < 4096)
		doctor_add(
			d, DOCTOR_WARNING, "ports", "widen snat.portRange",
			"only %u ports (%u-%u) towards each destination and port",
			left, head->port_min, head->port_max);
}

static void check_ports(struct doctor *d)
{
	const char *path = "/proc/sys/net/ipv4/ip_local_port_range";
	const struct masq_policy *head = &d->policy->head;
	unsigned int low, high;
	FILE *file = fopen(path, "re");
	bool known = file && fscanf(file, "%u %u", &low, &high) == 2;

	check_range(d, head);
	if (file)
		fclose(file);
	if (!known)
		doctor_add(
			d, DOCTOR_UNKNOWN, "ports",
			"look whether /proc is mounted",
			"net.ipv4.ip_local_port_range cannot be read: not checked");
	else if (low <= head->port_max && head->port_min <= high)
		/* as it is meant to be, and by default is */
		doctor_add(
			d, DOCTOR_OK, "ports", NULL,
			"the node's own ports %u-%u and ours %u-%u overlap: a tuple of the node's that a pod holds gets another port",
			low, high, head->port_min, head->port_max);
	else
		doctor_add(d, DOCTOR_OK, "ports", NULL,
			   "the node's own %u-%u and ours %u-%u do not overlap",
			   low, high, head->port_min, head->port_max);
}

/* --- interfaces -------------------------------------------------------- */

/* What puts ours next to the wire again; no flow ends by it. */
static void place_todo(const struct netdev_link *link, enum hook_dir dir,
		       const struct hook_prog *ours,
		       const struct hook_prog *other, char *buf, size_t len)
{
	uint32_t priority = clsact_priority(dir);
	bool hidden = other->kind == HOOK_TC &&
		      (dir == HOOK_EGRESS ? other->priority > priority
					  : other->priority < priority);
	bool moves = ours->kind != other->kind; /* clsact is behind TCX */

	if (hidden)
		snprintf(buf, len, "give that filter a priority %s %u%s%s",
			 dir == HOOK_EGRESS ? "below" : "above", priority,
			 moves ? ", and: masqbpf attach --hook tc " : "",
			 moves ? link->name : "");
	else
		snprintf(buf, len, "masqbpf attach%s %s",
			 !moves			   ? ""
			 : other->kind == HOOK_TCX ? " --hook tcx"
						   : " --hook tc",
			 link->name);
}

static void check_chain(struct doctor *d, const struct netdev_link *link,
			enum hook_dir dir)
{
	char todo[112];
	struct hook_chain chain = {};
	size_t ours, i;

	if (hook_chain(d->instance, link, dir, &chain))
		return;
	for (ours = 0; ours < chain.count && !chain.progs[ours].ours;)
		ours++;
	for (i = 0; i < chain.count; i++) {
		const struct hook_prog *p = &chain.progs[i];
		bool wrong = dir == HOOK_EGRESS ? i > ours : i < ours;
		const char *name = *p->name ? p->name : p->type;

		if (p->ours || ours == chain.count)
			continue;
		if (p->masqbpf)
			doctor_add(
				d, DOCTOR_BAD, "chain",
				"an interface belongs to one instance: detach one",
				"%s %s: another masqbpf is there as well",
				link->name, hook_dir_name(dir));
		else if (wrong) {
			place_todo(link, dir, &chain.progs[ours], p, todo,
				   sizeof(todo));
			doctor_add(
				d, DOCTOR_WARNING, "chain", todo,
				"%s %s: %s %s[%u] comes %s us: it sees %s",
				link->name, hook_dir_name(dir),
				hook_kind_name(p->kind), name, p->id,
				dir == HOOK_EGRESS ? "behind" : "before",
				dir == HOOK_EGRESS
					? "the node's address where pods were, and what it redirects passes us by"
					: "replies before they are for pods");
		} else
			doctor_add(d, DOCTOR_NOTE, "chain", NULL,
				   "%s %s: %s %s[%u] comes %s us", link->name,
				   hook_dir_name(dir), hook_kind_name(p->kind),
				   name, p->id,
				   dir == HOOK_EGRESS ? "before" : "behind");
	}
	free(chain.progs);
}

static bool check_address(struct doctor *d, const struct netdev_link *link,
			  int family, bool has)
{
	if (has || !uplink_needs(d->netdev, d->policy, link, family))
		return true;
	doctor_add(
		d, DOCTOR_BAD, "uplinks", "give it one",
		"%s: no IPv%d address to translate to: what should be is dropped",
		link->name, family);
	return false;
}

static void check_uplink(struct doctor *d, const struct netdev_link *link)
{
	const struct netdev_link *by =
		node_hooked(d->instance, d->netdev, link);
	struct masq_iface iface;
	struct hook_set set = {};
	char todo[64];

	snprintf(todo, sizeof(todo), "masqbpf attach %s", link->name);
	if (by && by != link) {
		if (node_tells_apart(d->instance, link))
			return;
		doctor_add(
			d, DOCTOR_WARNING, "uplinks", todo,
			"%s: not attached: what leaves by it gets the address of %s, whose hooks see it",
			link->name, by->name);
		return;
	}
	if (!by) {
		doctor_add(
			d, DOCTOR_BAD, "uplinks", todo,
			"%s: has routes to masqueraded destinations and is not attached: pods' packets leave by it as they are",
			link->name);
		return;
	}
	if (hook_find(d->instance, link, &set) || !hook_set_whole(&set)) {
		doctor_add(d, DOCTOR_BAD, "uplinks", todo,
			   "%s: a hook of ours is missing", link->name);
		return;
	}
	node_uplink_now(d->netdev, link->ifindex, &iface);
	if (check_address(d, link, 4, iface.addr4) &
	    check_address(d, link, 6,
			  iface.addr6[0] | iface.addr6[1] | iface.addr6[2] |
				  iface.addr6[3]))
		doctor_add(d, DOCTOR_OK, "uplinks", NULL, "%s: attached",
			   link->name);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
		check_chain(d, link, dir);
	check_rp_filter(d, link);
}

static void check_uplinks(struct doctor *d)
{
	uint32_t *attached = NULL;
	size_t count = 0, wanted = 0;

	for (size_t i = 0; i < d->netdev->link_count; i++) {
		const struct netdev_link *link = &d->netdev->links[i];
		struct masq_iface iface;
		bool ours = d->instance &&
			    node_uplink(d->instance, link->ifindex, &iface) > 0;

		if (d->instance && other_is_blind(d->instance, d->netdev, link))
			doctor_add(
				d, DOCTOR_NOTE, "uplinks",
				"attach it, too, or load nf_conntrack and attach anew",
				"%s: not attached, and not watched (something else has our places at its ingress): pods' answers to what comes in by it may be taken for their own flows",
				link->name);
		if (!ours && !uplink_wanted(d->netdev, d->policy, link))
			continue;
		wanted++;
		if (d->instance)
			check_uplink(d, link);
		else
			doctor_add(d, DOCTOR_NOTE, "uplinks", NULL,
				   "%s: would have to be attached", link->name);
	}
	if (!wanted)
		doctor_add(
			d, DOCTOR_WARNING, "uplinks",
			"ip route; in a container: hostNetwork: true",
			"no interface has a route to a masqueraded destination");
	if (!d->instance || node_uplinks(d->instance, &attached, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (!netdev_by_index(d->netdev, attached[i]))
			doctor_add(
				d, DOCTOR_BAD, "uplinks",
				"masqbpf attach it by its name; an agent does so by itself",
				"interface %u is gone; one that came back passes everything untranslated",
				attached[i]);
	free(attached);
}

/* --- MTU --------------------------------------------------------------- */

/* Or -errno. */
static int link_mtu(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu;
	struct ifreq request = {};

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	mtu = ioctl(fd, SIOCGIFMTU, &request) ? -errno : request.ifr_mtu;
	close(fd);
	return mtu;
}

/* Does a route of a pod's, as CNIs make it, lead there? */
static bool leads_to_pods(const struct doctor *d,
			  const struct netdev_link *link)
{
	for (size_t i = 0; i < d->netdev->route_count; i++) {
		const struct netdev_route *route = &d->netdev->routes[i];

		if (route->ifindex == link->ifindex && !route->gateway.family &&
		    route->dst.addr.family == 4 &&
		    (route->dst.plen == 32 || !strcmp(link->kind, "bridge")) &&
		    doctor_pods_in(d, &route->dst) != PODS_NONE)
			return true;
	}
	return false;
}

static void check_mtu(struct doctor *d)
{
	int pods = 0, uplink = 0;
	const char *pod_name = "", *uplink_name = "";

	for (size_t i = 0; i < d->netdev->link_count; i++) {
		const struct netdev_link *link = &d->netdev->links[i];
		int mtu = link_mtu(link->name);

		if (!link->up || mtu == -ENODEV) /* it has gone */
			continue;
		if (mtu < 0) {
			doctor_add(d, DOCTOR_UNKNOWN, "mtu", NULL,
				   "%s: cannot be read (%s): not checked",
				   link->name, strerror(-mtu));
			return;
		}
		if (uplink_wanted(d->netdev, d->policy, link)) {
			if (!uplink || mtu < uplink) {
				uplink = mtu;
				uplink_name = link->name;
			}
		} else if (leads_to_pods(d, link) && mtu > pods) {
			pods = mtu;
			pod_name = link->name;
		}
	}
	if (!pods || !uplink)
		return;
	if (pods > uplink)
		doctor_add(
			d, DOCTOR_WARNING, "mtu",
			"set the pods' MTU to the uplink's in the CNI config",
			"%s has %d towards pods, %s only %d towards outside: pods depend on path MTU discovery",
			pod_name, pods, uplink_name, uplink);
	else
		doctor_add(d, DOCTOR_OK, "mtu", NULL, "pods %d, uplink %d",
			   pods, uplink);
}

/* --- the fast path ------------------------------------------------------ */

static void check_fast_path(struct doctor *d)
{
	const char *lacks = fastpath_lacks();
	struct fastpath_view view;
	struct fastpath_sum sum;
	char text[FASTPATH_WHY + 64];

	if (!d->instance)
		return;
	if (lacks || !fastpath_is_on(d->instance)) {
		doctor_add(d, DOCTOR_NOTE, "fast-path",
			   lacks ? NULL : "run the agent, or --fast-path on",
			   "off: %s", lacks ?: "nobody has turned it on");
		return;
	}
	if (fastpath_look(d->instance, d->netdev, &view)) {
		doctor_add(d, DOCTOR_NOTE, "fast-path", NULL,
			   "the node cannot be looked at");
		free(view.links);
		return;
	}
	fastpath_sum_up(&view, &sum);
	if (!*sum.node && !fastpath_in_force(d->instance))
		snprintf(sum.node, sizeof(sum.node),
			 "no agent has looked after it for three seconds");
	doctor_add(d, *sum.node ? DOCTOR_NOTE : DOCTOR_OK, "fast-path", NULL,
		   "%s", fastpath_sum_text(&sum, text, sizeof(text)));
	for (size_t i = 0; i < view.count && !*sum.node; i++)
		if (*view.links[i].why)
			doctor_add(d, DOCTOR_NOTE, "fast-path", NULL,
				   "%s: off: %s", view.links[i].name,
				   view.links[i].why);
	if (!*sum.node && sum.pods_on && !fastpath_tcp_allowed() &&
	    !fastpath_tcp_by_flow(d->instance))
		doctor_add(d, DOCTOR_NOTE, "fast-path",
			   "run the agent, or --fast-path on (until detach)",
			   "not for TCP: nf_conntrack_tcp_be_liberal is 0, and "
			   "conntrack would call its packets out of window");
	free(view.links);
}

void doctor_check_node(struct doctor *d)
{
	check_forwarding(d);
	if (!d->policy || !d->netdev)
		return;
	check_ports(d);
	check_uplinks(d);
	doctor_check_ipsec(d);
	check_mtu(d);
	check_fast_path(d);
}
