/* SPDX-License-Identifier: GPL-2.0-only */
/* live.h - the flows there are, and what a plan does to them. */
#ifndef MASQ_POLICY_LIVE_H
#define MASQ_POLICY_LIVE_H

#include "plane/flows.h"
#include "policy/plan.h"

/* A live flow; all of them come before plan_judge. 0 or -ENOMEM. */
int plan_add_flow(struct plan *plan, const struct flow *flow);
/* Each range is given the pods that have flows there. */
void plan_collect_pods(struct plan *plan);

#endif
