/* SPDX-License-Identifier: GPL-2.0-only */
/* judge.h - what a person should be warned of. */
#ifndef MASQ_POLICY_JUDGE_H
#define MASQ_POLICY_JUDGE_H

#include "policy/plan.h"

/* Sums up the flows, finds what a person should be warned of. 0, -ENOMEM. */
int plan_judge(struct plan *plan);

/* Is something kept that is wider than all that was kept before? Says so in
 * buf, of the first one. */
bool plan_wider(const struct plan *plan, char *buf, size_t len);

#endif
