/* SPDX-License-Identifier: GPL-2.0-only */
/* live.h - the flows there are, and what a plan does to them. */
#ifndef MASQ_POLICY_LIVE_H
#define MASQ_POLICY_LIVE_H

#include <sys/types.h>
#include "plane/flows.h"
#include "policy/plan.h"

/* What a flow's next connection is treated as, before and after. */
struct plan_flow {
	struct plan_treatment from, to;
	ssize_t dest, source; /* the flips that it lies in; -1: none */
};
/* Does its treatment flip? Only then *out is all of it. */
bool plan_flow_flips(struct plan *plan, const struct flow *flow,
		     struct plan_flow *out);
/* A live flow; all of them come before plan_judge. 0 or -ENOMEM. */
int plan_add_flow(struct plan *plan, const struct flow *flow);
/* Each range is given the pods that have flows there. */
void plan_collect_pods(struct plan *plan);

#endif
