/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.h - makes a policy the running one, as a single step. Two halves (tries,
 * ports, struct masq_policy) take turns; the idle one is brought to the new
 * policy by difference and then masq_active is flipped. The old half is edited
 * again only after every packet that could have read it is through.
 */
#ifndef MASQ_POLICY_APPLY_H
#define MASQ_POLICY_APPLY_H

#include "plane/instance.h"
#include "policy/policy.h"

/*
 * Makes `policy` the running one, atomically. Takes a new generation unless
 * nothing differs (then change->generation is the old one). On failure the
 * running policy is what it was. Error printed.
 */
int policy_apply(struct instance *instance, struct policy *policy,
		 struct policy_change *change);
/*
 * One that was in force before, with its own generation, which is not 0: where
 * there is no policy yet. The history is left alone. Otherwise as above.
 */
int policy_restore(struct instance *instance, struct policy *policy);
/*
 * To be called after policy_apply, with what that left, once the answer is
 * out: after a large change it brings the other half along, or the next
 * change, however small, would take as long. It need not succeed.
 */
void policy_settle(struct instance *instance, struct policy *policy,
		   const struct policy_change *change);

#endif
