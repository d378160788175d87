// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_policy.c - the policy against the node and its traffic: ranges that
 * overlap where they should not, kept flows that nobody answers, drops, room.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "plane/counters.h"
#include "plane/inside.h"
#include "plane/tally.h"
#include "report/doctor.h"
#include "report/verdict.h"

#define TABLE_PERCENT 80

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

/* podCIDRs that leave out who is here. */
static void check_left_out(struct doctor *d)
{
	const struct netdev_route *first = NULL;
	char text[CIDR_STRLEN];
	size_t count = 0;

	for (size_t i = 0; i < d->netdev->route_count; i++) {
		const struct netdev_route *route = &d->netdev->routes[i];

		if (!inside_is_host(d->netdev, route) ||
		    !policy_leaves_out(d->policy, &route->dst.addr))
			continue;
		if (!first)
			first = route;
		count++;
	}
	if (count == 1)
		doctor_add(
			d, DOCTOR_WARNING, "pod-cidrs",
			"add its network to podCIDRs, if it is a pod",
			"%s, behind an interface as pods have, is outside podCIDRs: its packets are left alone",
			addr_format(&first->dst.addr, text, sizeof(text)));
	else if (count)
		doctor_add(
			d, DOCTOR_WARNING, "pod-cidrs",
			"add their network to podCIDRs, if they are pods",
			"%zu addresses (%s, ...), behind interfaces as pods have, are outside podCIDRs: their packets are left alone",
			count,
			addr_format(&first->dst.addr, text, sizeof(text)));
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

static void check_traffic(struct doctor *d)
{
	char text[FLOW_TALLY_LEN];
	struct verdict v = {};
	uint32_t percent;
	int err = verdict_traffic(&v, d->instance);
	size_t bad = 0;

	for (size_t i = 0; i < v.count; i++) {
		const struct verdict_item *item = &v.items[i];

		if (strcmp(item->what, "unreplied"))
			continue;
		bad++;
		doctor_add(d, DOCTOR_BAD, item->what, item->todo, "%s",
			   item->text);
	}
	if (err)
		doctor_add(d, DOCTOR_UNKNOWN, "unreplied", NULL,
			   "the flows cannot be read: %s", strerror(-err));
	else if (!bad)
		doctor_add(d, DOCTOR_OK, "unreplied", NULL,
			   "kept flows are answered");
	if (!err) {
		flow_tally_fullest(d->instance, &v.flows, &percent);
		flow_tally_text(d->instance, &v.flows, text, sizeof(text));
		if (percent >= TABLE_PERCENT)
			doctor_add(
				d, DOCTOR_WARNING, "flows",
				"raise maxFlows; masqbpf top shows whose they are",
				"%s", text);
		else
			doctor_add(d, DOCTOR_OK, "flows", NULL, "%s", text);
	}
	verdict_free(&v);
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

/* What status says of the guard and of the file, too. */
static void check_verdict(struct doctor *d)
{
	struct verdict v = {};
	int err = verdict_guard_look(&v, d->instance);

	if (!err && d->policy)
		err = verdict_policy(&v, d->instance, d->policy)
			      ?: verdict_drift(&v, d->instance, d->policy);
	for (size_t i = 0; i < v.count; i++)
		doctor_add(d,
			   v.items[i].level == VERDICT_BAD ? DOCTOR_BAD
							   : DOCTOR_WARNING,
			   v.items[i].what, v.items[i].todo, "%s",
			   v.items[i].text);
	if (err)
		doctor_add(d, DOCTOR_UNKNOWN, "guard", NULL,
			   "cannot be looked at: %s", strerror(-err));
	else if (!v.count)
		doctor_add(d, DOCTOR_OK, "guard", NULL,
			   v.guarded ? "the last change has broken nothing"
				     : "no change that flips a treatment");
	verdict_free(&v);
}

void doctor_check_policy(struct doctor *d)
{
	if (d->policy && d->netdev) {
		for (size_t i = 0; i < d->policy->count; i++)
			if (d->policy->entries[i].list == MASQ_L_POD) {
				check_pods(d, &d->policy->entries[i]);
				check_node_in_pods(d, &d->policy->entries[i]);
			}
		check_left_out(d);
		check_routes(d);
	}
	if (d->instance) {
		check_verdict(d);
		check_traffic(d);
		check_drops(d);
	}
}
