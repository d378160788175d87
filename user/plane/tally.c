// SPDX-License-Identifier: GPL-2.0-only
/* tally.c - by family and what becomes of a flow. */
#include <inttypes.h>
#include <stdio.h>
#include "plane/tally.h"

const struct flow_budget flow_budgets[FLOW_BUDGETS] = {
	{ 4, MASQ_K_FWD, "masquerade" },  { 4, MASQ_K_KEEP, "keep" },
	{ 4, MASQ_K_INBOUND, "inbound" }, { 6, MASQ_K_FWD, "masquerade" },
	{ 6, MASQ_K_KEEP, "keep" },	  { 6, MASQ_K_INBOUND, "inbound" },
};

void flow_tally_add(struct flow_tally *tally, const struct flow *flow)
{
	tally->all++;
	/* those of the node itself have a budget that is nobody's worry */
	if (flow->role == MASQ_ROLE_HOST)
		return;
	for (int i = 0; i < FLOW_BUDGETS; i++)
		tally->flows[i] += flow_budgets[i].family == flow->in.family &&
				   flow_budgets[i].kind == flow->kind;
}

int flow_tally_fullest(const struct instance *instance,
		       const struct flow_tally *tally, uint32_t *percent)
{
	int fullest = 0;

	*percent = 0;
	for (int i = 0; i < FLOW_BUDGETS; i++) {
		uint32_t max =
			instance_flows_max(instance, flow_budgets[i].family);
		uint32_t share = max ? tally->flows[i] * 100 / max : 0;

		if (share > *percent) {
			*percent = share;
			fullest = i;
		}
	}
	return fullest;
}

const char *flow_tally_text(const struct instance *instance,
			    const struct flow_tally *tally, char *buf,
			    size_t len)
{
	const uint64_t *n = tally->flows;
	int used = snprintf(buf, len,
			    "%" PRIu64 " masquerade, %" PRIu64 " keep, %" PRIu64
			    " inbound, of %u each",
			    n[0], n[1], n[2], instance_flows_max(instance, 4));

	if (used >= 0 && (size_t)used < len && n[3] | n[4] | n[5])
		snprintf(buf + used, len - used,
			 "; IPv6: %" PRIu64 ", %" PRIu64 ", %" PRIu64
			 ", of %u each",
			 n[3], n[4], n[5], instance_flows_max(instance, 6));
	return buf;
}
