/* SPDX-License-Identifier: GPL-2.0-only */
/* tally.h - how full the flow tables are. */
#ifndef MASQ_PLANE_TALLY_H
#define MASQ_PLANE_TALLY_H

#include "plane/flow.h"
#include "plane/instance.h"

/* What has a budget of its own; instance_flows_max() says how large. */
#define FLOW_BUDGETS 6
struct flow_budget {
	uint8_t family;
	uint8_t kind; /* enum masq_kind */
	const char *name; /* flow_action() of its flows */
};
extern const struct flow_budget flow_budgets[FLOW_BUDGETS];

/* Live flows by budget; zero to begin with. */
struct flow_tally {
	uint64_t all; /* with the node's own */
	uint64_t flows[FLOW_BUDGETS];
};
void flow_tally_add(struct flow_tally *tally, const struct flow *flow);
/* Number of the budget that is fullest, and how full it is. */
int flow_tally_fullest(const struct instance *instance,
		       const struct flow_tally *tally, uint32_t *percent);
/* For people, one line; returns buf. */
#define FLOW_TALLY_LEN 200
const char *flow_tally_text(const struct instance *instance,
			    const struct flow_tally *tally, char *buf,
			    size_t len);

#endif
