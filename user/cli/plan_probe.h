/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_probe.h - `plan --probe`: the treatment that live flows' destinations
 * would get is tried before anybody gets it.
 */
#ifndef MASQ_CLI_PLAN_PROBE_H
#define MASQ_CLI_PLAN_PROBE_H

#include "base/json.h"
#include "policy/plan.h"
#include "plane/flows.h"

#define PLAN_PROBE_MAX 20

struct plan_probe;

/* What is chosen from comes by plan_probe_add; NULL: no memory. */
struct plan_probe *plan_probe_new(void);
void plan_probe_free(struct plan_probe *probe);
/* A live flow of a plan that is made. 0 or -ENOMEM. */
int plan_probe_add(struct plan_probe *probe, struct plan *plan,
		   const struct flow *flow);
/* Tries the most used destinations; adds warnings to the plan. 0 or -errno,
 * printed. */
int plan_probe_run(struct plan_probe *probe, struct instance *instance,
		   struct plan *plan);

/* "probes": [...], "would_break": N */
void plan_probe_json(const struct plan_probe *probe, struct json *j);
void plan_probe_text(const struct plan_probe *probe);

#endif
