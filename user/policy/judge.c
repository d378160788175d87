// SPDX-License-Identifier: GPL-2.0-only
/* judge.c - what was not kept before, what is in use, what is nobody's business. */
#include <stdio.h>
#include <arpa/inet.h>
#include "policy/judge.h"
#include "policy/live.h"

/* Flips that a warning is given for, each; the rest in one line. */
#define WARNED_FLIPS 8

static bool is_keep(const struct policy_entry *entry)
{
	return entry->list == MASQ_L_DST && entry->action == MASQ_KEEP;
}

/* The first keep, from this change on, wider than all that were kept before;
 * *before: the widest of these, or NULL. */
static const struct policy_entry *find_wider(const struct plan *plan,
					     size_t *at,
					     const struct policy_entry **before)
{
	const struct policy_entry *widest[2] = {};

	for (size_t i = 0; i < plan->from->count; i++) {
		const struct policy_entry *entry = &plan->from->entries[i];
		bool six = entry->cidr.addr.family == 6;

		if (is_keep(entry) &&
		    (!widest[six] || entry->cidr.plen < widest[six]->cidr.plen))
			widest[six] = entry;
	}
	for (; *at < plan->change_count; ++*at) {
		const struct policy_entry *entry = plan->changes[*at].to;

		if (!entry || !is_keep(entry))
			continue;
		*before = widest[entry->cidr.addr.family == 6];
		if (!*before || (*before)->cidr.plen > entry->cidr.plen)
			return entry;
	}
	return NULL;
}

static void wider_text(const struct policy_entry *entry,
		       const struct policy_entry *before, char *buf, size_t len)
{
	char text[CIDR_STRLEN], other[CIDR_STRLEN];

	snprintf(buf, len, "%s: wider than any prefix kept before (%s%s)",
		 cidr_format(&entry->cidr, text, sizeof(text)),
		 before ? "the widest is " : "none is",
		 before ? cidr_format(&before->cidr, other, sizeof(other))
			: "");
}

bool plan_wider(const struct plan *plan, char *buf, size_t len)
{
	const struct policy_entry *entry, *before;
	size_t at = 0;

	entry = find_wider(plan, &at, &before);
	if (entry)
		wider_text(entry, before, buf, len);
	return entry;
}

static int warn_wider(struct plan *plan)
{
	const struct policy_entry *entry, *before;
	char text[256];
	int err = 0;

	for (size_t at = 0; !err && (entry = find_wider(plan, &at, &before));
	     at++) {
		wider_text(entry, before, text, sizeof(text));
		err = plan_warn(plan, "%s", text);
	}
	return err;
}

static int warn_live(struct plan *plan, const struct plan_flips *flips,
		     const char *what)
{
	char text[CIDR_STRLEN], becomes[CIDR_STRLEN + 16];
	size_t more = 0, warned = 0;
	int err = 0;

	if (plan->live_said)
		return 0;
	for (size_t i = 0; i < flips->count && !err; i++) {
		const struct plan_flip *flip = &flips->items[i];

		if (!flip->live_flows)
			continue;
		if (warned == WARNED_FLIPS) {
			more++;
			continue;
		}
		warned++;
		err = plan_warn(
			plan,
			"%s: %s: %llu live flow%s of %zu pod%s; their next connections: %s",
			cidr_format(&flip->range, text, sizeof(text)), what,
			(unsigned long long)flip->live_flows,
			flip->live_flows == 1 ? "" : "s", flip->pod_count,
			flip->pod_count == 1 ? "" : "s",
			plan_treatment_text(&flip->to, becomes,
					    sizeof(becomes)));
	}
	if (more && !err)
		err = plan_warn(plan, "and %zu more ranges that are in use",
				more);
	return err;
}

/* Pods on other nodes should see pods, not this node. */
static int warn_pods(struct plan *plan)
{
	struct policy *to = plan->to;
	char text[CIDR_STRLEN], inner[CIDR_STRLEN];
	int err = 0;

	for (size_t i = 0; i < to->count && !err; i++) {
		const struct policy_entry *pods = &to->entries[i];
		const struct policy_entry *bad;

		if (pods->list != MASQ_L_POD ||
		    (pods->cidr.addr.family == 6 &&
		     !(to->head.flags & MASQ_P_IPV6)))
			continue;
		bad = policy_match(to, &pods->cidr);
		if (bad && bad->action == MASQ_KEEP) {
			bad = NULL;
			for (size_t k = 0; k < to->count && !bad; k++) {
				const struct policy_entry *e = &to->entries[k];

				if (e->list == MASQ_L_DST && !is_keep(e) &&
				    cidr_covers(&pods->cidr, &e->cidr))
					bad = e;
			}
		}
		if (bad)
			err = plan_warn(
				plan,
				"podCIDRs %s: not kept as a destination (%s masquerade): pods on other nodes will see this node instead of its pods",
				cidr_format(&pods->cidr, text, sizeof(text)),
				cidr_format(&bad->cidr, inner, sizeof(inner)));
	}
	return err;
}

static int warn_link_local(struct plan *plan)
{
	const struct cidr ranges[] = {
		{ { 4, { htonl(0xa9fe0000) } }, 16 },
		{ { 6, { htonl(0xfe800000) } }, 10 },
	};
	char text[CIDR_STRLEN];
	int err = 0;

	for (size_t i = 0; i < plan->dests.count && !err; i++) {
		const struct plan_flip *flip = &plan->dests.items[i];

		for (size_t k = 0; k < 2 && !err; k++)
			if (flip->to.action == PLAN_MASQUERADE &&
			    (cidr_covers(&ranges[k], &flip->range) ||
			     cidr_covers(&flip->range, &ranges[k])))
				err = plan_warn(
					plan, "%s: link-local%s: masqueraded",
					cidr_format(&flip->range, text,
						    sizeof(text)),
					k ? ""
					  : ", with the cloud's metadata service");
	}
	return err;
}

int plan_judge(struct plan *plan)
{
	plan_collect_pods(plan);
	if (plan_is_empty(plan))
		return 0;
	return warn_wider(plan) ?: warn_live(plan, &plan->dests,
					     "pods talk to it right now") ?:
	       warn_live(plan, &plan->sources, "pods there are talking right now") ?:
	       warn_pods(plan) ?: warn_link_local(plan);
}
