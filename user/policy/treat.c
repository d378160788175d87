// SPDX-License-Identifier: GPL-2.0-only
/* treat.c - as bpf/policy.h decides. */
#include <stdio.h>
#include "policy/treat.h"

const char *plan_action_name(uint8_t action)
{
	static const char *const names[] = {
		[PLAN_MASQUERADE] = "masquerade",
		[PLAN_KEEP] = "keep",
		[PLAN_POLICY] = "policy",
		[PLAN_UNTOUCHED] = "untouched",
		[PLAN_DROPPED] = "dropped",
	};

	return names[action];
}

const char *plan_treatment_text(const struct plan_treatment *treatment,
				char *buf, size_t len)
{
	char text[2 * CIDR_STRLEN];

	if (treatment->snat)
		snprintf(buf, len, "masquerade as %s",
			 pool_short(treatment->snat, text, sizeof(text)));
	else
		snprintf(buf, len, "%s", plan_action_name(treatment->action));
	return buf;
}

bool treatment_same(const struct plan_treatment *a,
		    const struct plan_treatment *b)
{
	return a->action == b->action && !a->snat == !b->snat &&
	       (!a->snat || !pool_cmp(a->snat, b->snat));
}

void state_add(struct state *state, const struct policy_entry *entry)
{
	if (entry->list == MASQ_L_POD)
		state->pod = true;
	else if (entry->list == MASQ_L_KEEP_SOURCE)
		state->keep = true;
	else
		state->dest = entry;
}

struct plan_treatment treat_dest(const struct policy *policy,
				 const struct policy_entry *dest,
				 uint8_t family)
{
	struct plan_treatment t = { .action = PLAN_MASQUERADE };

	if ((family == 6 && !(policy->head.flags & MASQ_P_IPV6)) ||
	    (dest && dest->action == MASQ_KEEP))
		t.action = PLAN_KEEP;
	else if (dest && dest->snat)
		t.snat = &policy->snat[dest->snat - 1];
	return t;
}

/* Entries are in the order of compare_place. */
bool policy_names_pods(const struct policy *policy, uint8_t family)
{
	const struct policy_entry first = { .list = MASQ_L_POD,
					    .cidr.addr.family = family };
	size_t low = 0, high = policy->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (policy_compare_place(&policy->entries[middle], &first) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < policy->count && policy->entries[low].list == MASQ_L_POD &&
	       policy->entries[low].cidr.addr.family == family;
}

struct plan_treatment treat_state(const struct policy *policy,
				  const struct state *state, bool pods_named)
{
	bool drop = policy->head.flags & MASQ_P_DROP_FOREIGN;
	struct plan_treatment t = { .action = PLAN_POLICY };

	if (pods_named && !state->pod)
		t.action = drop ? PLAN_DROPPED : PLAN_UNTOUCHED;
	else if (state->keep)
		t.action = PLAN_KEEP;
	return t;
}

struct plan_treatment treat_source(struct policy *policy,
				   const struct addr *src)
{
	struct state state = {};

	for (int plen = src->family == 4 ? 32 : 128; plen >= 0; plen--) {
		struct cidr cidr = cidr_of(src, plen);

		state.pod |= !!policy_find(policy, MASQ_L_POD, &cidr);
		state.keep |= !!policy_find(policy, MASQ_L_KEEP_SOURCE, &cidr);
	}
	return treat_state(policy, &state,
			   policy_names_pods(policy, src->family));
}

struct plan_treatment treat_both(const struct policy *policy,
				 const struct plan_treatment *source,
				 const struct plan_treatment *dest,
				 uint8_t family)
{
	/* IPv6 that is not translated is not looked at any closer */
	if ((family == 6 && !(policy->head.flags & MASQ_P_IPV6)) ||
	    source->action == PLAN_POLICY)
		return *dest;
	return *source;
}

struct plan_treatment plan_treat(struct policy *policy, const struct addr *src,
				 const struct addr *dst)
{
	struct cidr cidr = { *dst, dst->family == 4 ? 32 : 128 };
	struct plan_treatment source, dest;

	dest = treat_dest(policy, policy_match(policy, &cidr), dst->family);
	if (!src->family)
		return dest;
	source = treat_source(policy, src);
	return treat_both(policy, &source, &dest, dst->family);
}
