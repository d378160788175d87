/* SPDX-License-Identifier: GPL-2.0-only */
/* flips.h - which addresses are treated differently afterwards. */
#ifndef MASQ_POLICY_FLIPS_H
#define MASQ_POLICY_FLIPS_H

#include "policy/plan.h"

/* Into plan->sources or plan->dests. 0 or -ENOMEM. */
int flips_find(struct plan *plan, bool sources);

#endif
