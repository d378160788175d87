// SPDX-License-Identifier: GPL-2.0-only
/* explain.c - asks for what explain.h says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include "base/log.h"
#include "cli/explain.h"
#include "kernel/netdev.h"
#include "kernel/way.h"
#include "plane/counters.h"
#include "plane/ctl.h"
#include "plane/flows.h"
#include "plane/inside.h"
#include "plane/node.h"
#include "policy/history.h"
#include "policy/policy.h"
#include "policy/treat.h"
#include "policy/uplinks.h"

int explain_find_stays(struct explain *e)
{
	uint32_t ifindex = if_nametoindex(e->uplink);
	const struct netdev_link *link;
	struct netdev *netdev;
	struct way way;
	int err;

	if (e->answer.reason == MASQ_R_MULTICAST) {
		e->stays = EXPLAIN_LEAVES;
		return 0;
	}
	/* rules may let what comes in by the pod's device go on all the same */
	if ((e->stays || e->no_route || !*e->device) &&
	    way_find(&e->dest, NULL, 0, &way) == -EADDRNOTAVAIL)
		e->stays = EXPLAIN_NODE;
	if (e->stays || e->no_route || e->attached)
		return 0;
	err = netdev_read(&netdev);
	if (err)
		return err;
	link = netdev_by_index(netdev, ifindex);
	if (link && !uplink_leads_out(netdev, NULL, link))
		e->stays = EXPLAIN_POD;
	netdev_free(netdev);
	return 0;
}

/* By this link: whose hooks see it, 0: nobody's; *name: a card's that it is on. */
static uint32_t hooked(const struct explain *e, const struct netdev *netdev,
		       uint32_t ifindex, char *name)
{
	const struct netdev_link *link = netdev_by_index(netdev, ifindex);
	const struct netdev_link *by = node_hooked(e->instance, netdev, link);

	if (by && by != link && name)
		snprintf(name, IF_NAMESIZE, "%s", by->name);
	if (by && by != link && node_tells_apart(e->instance, link))
		return ifindex;
	return by ? by->ifindex : 0;
}

/* The other ways, where each flow may take another one. */
static void find_ways(struct explain *e, const struct netdev *netdev,
		      const struct addr *pod, uint32_t device,
		      const struct netdev_kind *kind)
{
	uint32_t found[EXPLAIN_WAYS];
	size_t ways;

	if (netdev_ways_from(&e->dest, pod, device, kind, found, EXPLAIN_WAYS,
			     &ways) ||
	    ways < 2)
		return;
	for (size_t i = 0; i < ways; i++) {
		if (!if_indextoname(found[i], e->way[e->ways].name))
			continue;
		e->way[e->ways++].attached = hooked(e, netdev, found[i], NULL);
	}
}

/*
 * Any pod is a pod, for the program. Where podCIDRs leave out all that host
 * routes lead to, the answer is the one that they get: as *pod's.
 */
static void find_left_out(struct explain *e, const struct netdev *netdev,
			  const uint32_t *uplinks, size_t count,
			  struct addr *pod, uint32_t *device)
{
	bool host = false;

	if (!policy_leaves_out(e->policy, pod))
		return;
	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *route = &netdev->routes[i];

		if (route->dst.addr.family != pod->family ||
		    !inside_is_host(netdev, route) ||
		    inside_is_uplink(uplinks, count, route->ifindex))
			continue;
		host |= !memcmp(&route->dst.addr, pod, sizeof(*pod));
		if (policy_leaves_out(e->policy, &route->dst.addr))
			continue;
		*pod = route->dst.addr;
		*device = route->ifindex;
		return;
	}
	/* of a bridge nobody knows whose it is */
	if (!host)
		return;
	e->source = *pod;
	e->left_out = true;
}

/*
 * The uplink whose program is asked: the one by which the pod's packets to DEST
 * leave, which its address, its device, protocol and port may decide. Where that is not
 * attached, the answer is what an attached one would do.
 */
int explain_find_uplink(struct explain *e)
{
	struct netdev_found way = {};
	uint32_t *uplinks = NULL, device = 0;
	const struct netdev_kind kind = { .proto = e->answer.proto,
					  .port = e->answer.rem_port };
	struct addr pod = e->source;
	struct netdev *netdev = NULL;
	size_t count = 0;
	int err = node_uplinks(e->instance, &uplinks, &count)
			  ?: netdev_read(&netdev);

	if (err)
		goto out;
	/* any pod's way is one pod's way, where one is known */
	if (pod.family || inside_next_pod(e->instance, e->dest.family, &pod))
		device = inside_device(&pod, &e->dest, uplinks, count);
	if (!device && !e->source.family)
		inside_by_routes(netdev, e->dest.family, uplinks, count, &pod,
				 &device);
	if (device && !e->source.family)
		find_left_out(e, netdev, uplinks, count, &pod, &device);
	if (device) {
		if (!if_indextoname(device, e->device))
			e->device[0] = '\0';
		err = netdev_find_way(&e->dest, &pod, device, &kind, &way);
		memcpy(e->answer.xlat_addr, pod.a, sizeof(pod.a));
	} else {
		err = netdev_find_way(&e->dest, NULL, 0, NULL, &way);
	}
	e->answer.device = device;
	e->no_route = -err;
	if (!err && (way.type == RTN_LOCAL || way.type == RTN_ANYCAST ||
		     way.type == RTN_BROADCAST)) {
		e->stays = EXPLAIN_TAKEN;
	} else if (!err) {
		if (!if_indextoname(way.ifindex, e->uplink))
			e->uplink[0] = '\0';
		e->wraps = way.wraps;
		e->answer.ifindex = hooked(e, netdev, way.ifindex, e->parent);
		e->attached = e->answer.ifindex;
		find_ways(e, netdev, device ? &pod : NULL, device, &kind);
	}
	if (!e->attached && count)
		e->answer.ifindex = uplinks[0];
	err = 0;
out:
	netdev_free(netdev);
	free(uplinks);
	return err;
}

bool explain_is_translated(const struct explain *e)
{
	return e->answer.action == MASQ_MASQUERADE && !e->answer.reason;
}

int explain_ask(struct explain *e)
{
	struct masq_ctl *answer = &e->answer;
	int err;

	answer->op = MASQ_CTL_EXPLAIN;
	answer->family = e->dest.family;
	memcpy(answer->in_addr, e->source.a, sizeof(answer->in_addr));
	memcpy(answer->rem_addr, e->dest.a, sizeof(answer->rem_addr));
	err = instance_ctl(e->instance, answer);
	if (err) {
		log_error("explain: masq_ctl: %s", strerror(-err));
		return err;
	}
	if (answer->reason >= MASQ_R_MAX) {
		log_error("explain: masq_ctl: unknown reason %u",
			  answer->reason);
		return -EPROTO;
	}
	for (size_t i = 0; i < e->policy->count; i++)
		if (e->policy->entries[i].slot == answer->prefix)
			e->entry = &e->policy->entries[i];
	if (explain_is_translated(e) && e->entry && e->entry->snat &&
	    pool_size(&e->policy->snat[e->entry->snat - 1]) > 1)
		e->pool = &e->policy->snat[e->entry->snat - 1];
	if (e->no_route || e->stays || (e->pool && !e->source.family)) {
		e->seen.family = 0;
	} else if (explain_is_translated(e)) {
		e->seen.family = e->dest.family;
		memcpy(e->seen.a, answer->xlat_addr, sizeof(e->seen.a));
	} else if (!reasons[answer->reason].drop) {
		e->seen = e->source;
	}
	return 0;
}

/* --- what it was before ------------------------------------------------ */

bool explain_is_fixed(uint32_t reason)
{
	return reason == MASQ_R_HOST || reason == MASQ_R_MULTICAST ||
	       reason == MASQ_R_LINK_LOCAL;
}

void explain_find_before(struct explain *e)
{
	struct plan_treatment now = plan_treat(e->policy, &e->source, &e->dest);
	uint32_t generation = e->policy->head.generation;
	uint32_t later = generation;

	while ((generation = history_newest(e->instance, generation - 1))) {
		struct policy *policy;

		if (history_load(e->instance, generation, &policy, NULL))
			continue;
		e->was = plan_treat(policy, &e->source, &e->dest);
		if (e->was.action != now.action) {
			e->before = policy;
			break;
		}
		policy_free(policy);
		later = generation;
	}
	if (!e->before)
		return;
	if (history_load(e->instance, later, NULL, &e->change))
		e->change.change.generation = later;
}

const struct policy_entry *explain_entry_before(const struct explain *e)
{
	struct cidr host = { e->dest, e->dest.family == 4 ? 32 : 128 };
	const struct policy_entry *entry = policy_match(e->before, &host);

	return entry && (entry->action == MASQ_KEEP) ==
				       (e->was.action == PLAN_KEEP)
		       ? entry
		       : NULL;
}

/* --- its flows --------------------------------------------------------- */

/* Alike: what one glance takes for the same. */
static bool is_alike(const struct flow *a, const struct flow *b)
{
	return addr_equal(&a->in, &b->in) && a->proto == b->proto &&
	       a->kind == b->kind && flow_orig(a).dport == flow_orig(b).dport;
}

/* Into its group; the groups in the order of their latest flow. */
static void keep_sample(struct explain *e, const struct flow *flow)
{
	struct explain_group group = { .latest = *flow, .count = 1 };
	size_t i = 0;

	while (i < e->group_count && !is_alike(&e->groups[i].latest, flow))
		i++;
	if (i < e->group_count) {
		group.count = ++e->groups[i].count;
		if (e->groups[i].latest.age <= flow->age)
			return;
	} else if (e->group_count < EXPLAIN_GROUPS) {
		e->group_count++;
	} else if (e->groups[EXPLAIN_GROUPS - 1].latest.age > flow->age) {
		i = EXPLAIN_GROUPS - 1;
	} else {
		return;
	}
	for (; i > 0 && e->groups[i - 1].latest.age > flow->age; i--)
		e->groups[i] = e->groups[i - 1];
	e->groups[i] = group;
}

static int count_flow(void *data, const struct flow *flow)
{
	struct explain *e = data;

	if (flow->kind == MASQ_K_FWD)
		e->masqueraded++;
	else if (flow->kind == MASQ_K_KEEP)
		e->kept++;
	else
		e->inbound++;
	if (flow->replied)
		return 0;
	e->unreplied++;
	if (flow->kind == MASQ_K_KEEP)
		e->kept_unreplied++;
	keep_sample(e, flow);
	return 0;
}

int explain_count_flows(struct explain *e)
{
	struct flow_filter filter = {
		.dest = { e->dest, e->dest.family == 4 ? 32 : 128 },
		.port = ntohs(e->answer.rem_port),
		.proto = e->only_proto,
	};
	int err;

	if (e->source.family)
		filter.pod =
			cidr_of(&e->source, e->source.family == 4 ? 32 : 128);
	err = flows_walk(e->instance, &filter, count_flow, e);

	if (err)
		log_error("explain: flows: %s", strerror(-err));
	return err;
}
