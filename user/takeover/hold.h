/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hold.h - keeps netfilter translating the flows that it translates.
 *
 * The kernel unhooks NAT and conntrack from a network namespace as soon as no
 * rule uses them any more, and then packets of live flows leave as they came.
 * Removing one jump does not do that, but what somebody removes next may.
 * While a migration is under way, a rule of our own uses both.
 */
#ifndef MASQ_HOLD_H
#define MASQ_HOLD_H

/* 1, 0; -errno, printed: it cannot be known. */
int hold_is_there(void);
/* 0 or -errno, printed. Both do nothing when it is so already. */
int hold_install(void);
int hold_remove(void);
/* What hold_install would do, for people. */
const char *hold_text(void);

#endif
