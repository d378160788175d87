// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_policy.c - the policy against the node and its traffic: ranges that
 * overlap where they should not, kept flows that nobody answers, drops, room.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/prefix.h"
#include "plane/counters.h"
#include "plane/flows.h"
#include "report/doctor.h"

/* So many unanswered flows are more than somebody's dead server. */
#define UNREPLIED_FLOWS	  3
#define UNREPLIED_PERCENT 50
#define TABLE_PERCENT	  80

static bool overlap(const struct cidr *a, const struct cidr *b)
{
	return cidr_covers(a, b) || cidr_covers(b, a);
}

/* --- ranges ------------------------------------------------------------ */

static void check_pods(struct doctor *d, const struct policy_entry *pods)
{
	const struct policy_entry *match = policy_match(d->policy, &pods->cidr);
	char text[CIDR_STRLEN], other[CIDR_STRLEN];

	cidr_format(&pods->cidr, text, sizeof(text));
	if (match && match->action == MASQ_MASQUERADE &&
	    (pods->cidr.addr.family == 4 ||
	     d->policy->head.flags & MASQ_P_IPV6))
		doctor_add(
			d, DOCTOR_WARNING, "pod-cidrs",
			"add it to nonMasqueradeCIDRs",
			"%s is masqueraded as a destination (by %s): pods on other nodes see this node instead of its pods",
			text, cidr_format(&match->cidr, other, sizeof(other)));
	else
		doctor_add(d, DOCTOR_OK, "pod-cidrs", NULL,
			   "%s is kept as a destination", text);
	for (size_t i = 0; i < d->netdev->route_count; i++) {
		const struct netdev_route *route = &d->netdev->routes[i];

		if (route->gateway.family && route->dst.plen &&
		    overlap(&route->dst, &pods->cidr) &&
		    !cidr_covers(&pods->cidr, &route->dst))
			doctor_add(
				d, DOCTOR_WARNING, "pod-cidrs",
				"give pods another range, or outside",
				"%s lies in %s, which this node reaches through a gateway: pods hide a part of it",
				text,
				cidr_format(&route->dst, other, sizeof(other)));
	}
}

static void check_node_in_pods(struct doctor *d,
			       const struct policy_entry *pods)
{
	char text[CIDR_STRLEN], other[CIDR_STRLEN];

	for (size_t i = 0; i < d->netdev->addr_count; i++) {
		const struct netdev_addr *a = &d->netdev->addrs[i];
		struct cidr host = { a->addr, a->addr.family == 4 ? 32 : 128 };
		/* the gateway of a pod's bridge lies in its range */
		bool wide = a->plen <= pods->cidr.plen;

		if (wide && cidr_covers(&pods->cidr, &host))
			doctor_add(d, DOCTOR_BAD, "pod-cidrs",
				   "correct podCIDRs",
				   "%s holds the node's own %s/%u",
				   cidr_format(&pods->cidr, text, sizeof(text)),
				   addr_format(&a->addr, other, sizeof(other)),
				   a->plen);
	}
}

/*
 * A network that the node reaches through a gateway of its own, as a VPN or a
 * peering is, and that a prefix keeps: what the incident was made of.
 */
static void check_routes(struct doctor *d)
{
	char text[CIDR_STRLEN], other[CIDR_STRLEN], origin[320];
	size_t found = 0;

	for (size_t i = 0; i < d->netdev->route_count; i++) {
		const struct netdev_route *route = &d->netdev->routes[i];
		const struct netdev_link *link =
			netdev_by_index(d->netdev, route->ifindex);
		const struct policy_entry *match;
		bool pods = false;

		if (!route->dst.plen || !route->gateway.family)
			continue;
		match = policy_match(d->policy, &route->dst);
		if (!match || match->action != MASQ_KEEP)
			continue;
		for (size_t k = 0; k < d->policy->count; k++)
			pods |= d->policy->entries[k].list == MASQ_L_POD &&
				overlap(&d->policy->entries[k].cidr,
					&route->dst);
		/* other nodes' pods are meant to be kept */
		if (pods)
			continue;
		found++;
		doctor_add(
			d, DOCTOR_WARNING, "overlap",
			"is it meant? The far side needs a route back to pods and firewalls that let them in; else masqbpf cidr add RANGE --masquerade",
			"%s by %s is kept (%s, %s): pods show their own addresses there",
			cidr_format(&route->dst, text, sizeof(text)),
			link ? link->name : "?",
			cidr_format(&match->cidr, other, sizeof(other)),
			policy_origin(d->policy, match, origin,
				      sizeof(origin)));
	}
	if (!found)
		doctor_add(d, DOCTOR_OK, "overlap", NULL,
			   "no network behind a gateway is kept");
}

/* --- traffic ----------------------------------------------------------- */

struct tally {
	struct doctor *d;
	uint32_t *kept, *unreplied; /* by slot */
	struct flow_tally flows;
};

static int count_flow(void *data, const struct flow *flow)
{
	struct tally *tally = data;

	flow_tally_add(&tally->flows, flow);
	if (flow->kind != MASQ_K_KEEP ||
	    flow->prefix >= tally->d->instance->meta.max_prefixes)
		return 0;
	tally->kept[flow->prefix]++;
	tally->unreplied[flow->prefix] += !flow->replied;
	return 0;
}

static void check_slot(struct doctor *d, const struct tally *tally,
		       uint32_t slot)
{
	struct cidr cidr = prefix_cidr(&d->instance->prefixes[slot]);
	char text[CIDR_STRLEN], todo[320];

	cidr_format(&cidr, text, sizeof(text));
	snprintf(
		todo, sizeof(todo),
		"masqbpf flows --prefix %s --unreplied; masqbpf explain DEST; if they should leave as the node: masqbpf cidr add RANGE --masquerade, or masqbpf rollback",
		text);
	doctor_add(
		d, DOCTOR_BAD, "unreplied", todo,
		"%u of %u live flows by %s are kept, sent and never answered: the far side sees pods and has no way back, or refuses them",
		tally->unreplied[slot], tally->kept[slot], text);
}

static void check_traffic(struct doctor *d)
{
	uint32_t slots = d->instance->meta.max_prefixes, bad = 0;
	char text[FLOW_TALLY_LEN];
	uint32_t percent;
	struct tally tally = {
		.d = d,
		.kept = calloc(slots, sizeof(uint32_t)),
		.unreplied = calloc(slots, sizeof(uint32_t)),
	};

	if (!tally.kept || !tally.unreplied ||
	    flows_walk_owners(d->instance, count_flow, &tally))
		goto out;
	for (uint32_t slot = 0; slot < slots; slot++) {
		if (tally.unreplied[slot] < UNREPLIED_FLOWS ||
		    tally.unreplied[slot] * 100 <
			    tally.kept[slot] * UNREPLIED_PERCENT)
			continue;
		bad++;
		check_slot(d, &tally, slot);
	}
	if (!bad)
		doctor_add(d, DOCTOR_OK, "unreplied", NULL,
			   "kept flows are answered");
	flow_tally_fullest(d->instance, &tally.flows, &percent);
	flow_tally_text(d->instance, &tally.flows, text, sizeof(text));
	if (percent >= TABLE_PERCENT)
		doctor_add(d, DOCTOR_WARNING, "flows",
			   "raise maxFlows; masqbpf top shows whose they are",
			   "%s", text);
	else
		doctor_add(d, DOCTOR_OK, "flows", NULL, "%s", text);
out:
	free(tally.kept);
	free(tally.unreplied);
}

static void check_drops(struct doctor *d)
{
	uint64_t stats[MASQ_S_MAX];
	size_t found = 0;

	if (counters_stats(d->instance, stats))
		return;
	for (uint32_t i = 0; i < MASQ_R_MAX; i++) {
		if (!reasons[i].drop || !stats[i])
			continue;
		found++;
		doctor_add(d, DOCTOR_NOTE, "drops",
			   *reasons[i].todo ? reasons[i].todo : NULL,
			   "%s %llu: %s", reasons[i].name,
			   (unsigned long long)stats[i], reasons[i].what);
	}
	if (!found)
		doctor_add(d, DOCTOR_OK, "drops", NULL, "none");
}

void doctor_check_policy(struct doctor *d)
{
	if (d->policy && d->netdev) {
		for (size_t i = 0; i < d->policy->count; i++)
			if (d->policy->entries[i].list == MASQ_L_POD) {
				check_pods(d, &d->policy->entries[i]);
				check_node_in_pods(d, &d->policy->entries[i]);
			}
		check_routes(d);
	}
	if (d->instance) {
		check_traffic(d);
		check_drops(d);
	}
}
