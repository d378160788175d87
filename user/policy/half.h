/* SPDX-License-Identifier: GPL-2.0-only */
/* half.h - the idle half is brought to a policy, by difference. */
#ifndef MASQ_POLICY_HALF_H
#define MASQ_POLICY_HALF_H

#include "policy/work.h"

/*
 * Steps 2 and 3 of apply.c: every entry has a slot, every address one of its
 * own. 0 or -errno, printed; the half is dirty then.
 */
int half_fill(struct work *w);

#endif
