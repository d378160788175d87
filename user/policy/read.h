/* SPDX-License-Identifier: GPL-2.0-only */
/* read.h - the policy that runs, as the maps have it. */
#ifndef MASQ_POLICY_READ_H
#define MASQ_POLICY_READ_H

#include "plane/instance.h"
#include "policy/policy.h"

/* The running policy. Caller frees. -ENODATA: none has been applied yet. */
int policy_read(struct instance *instance, struct policy **out);

#endif
