/* SPDX-License-Identifier: GPL-2.0-only */
/* compare.h - two policies side by side. */
#ifndef MASQ_POLICY_COMPARE_H
#define MASQ_POLICY_COMPARE_H

#include "plane/instance.h"
#include "policy/plan.h"

/*
 * Both policies stay the caller's and have to outlive the plan. instance:
 * for its clock. 0 or -ENOMEM.
 */
int plan_make(const struct instance *instance, struct policy *from,
	      struct policy *to, struct plan **out);

#endif
