/* SPDX-License-Identifier: GPL-2.0-only */
/* policies.h - policies as short texts. */
#ifndef TEST_POLICIES_H
#define TEST_POLICIES_H

#include "policy/policy.h"

/*
 * Adds "10.0.0.0/8 -172.30.0.0/16 @10.44.0.0/16 =10.1.0.0/16" (keep,
 * masquerade, podCIDRs, nonMasqueradeSrcCIDRs), each word from a config line
 * of its own, and what is built in.
 */
void policy_fill(struct policy *policy, const char *text);

#endif
