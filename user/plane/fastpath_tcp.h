/* SPDX-License-Identifier: GPL-2.0-only */
/* fastpath_tcp.h - TCP on the fast path, and what conntrack says of that. */
#ifndef MASQ_FASTPATH_TCP_H
#define MASQ_FASTPATH_TCP_H

#include <stdbool.h>
#include "plane/instance.h"

/*
 * May TCP take the fast path? Conntrack sees only one packet a second of it,
 * and calls the rest out of window unless it is told to be liberal.
 */
bool fastpath_tcp_allowed(void);
/*
 * Tells it so, and notes that it was us; 0 or -errno, printed. Without
 * conntrack there is nothing to tell.
 */
int fastpath_allow_tcp(const struct instance *instance);
/* Puts it back, if it was us. */
void fastpath_restore_tcp(const struct instance *instance);
/*
 * The policy in force was made when the sysctl said something else, perhaps;
 * one bit of it follows. Nothing is done where there is no policy. 0 or -errno,
 * not printed.
 */
int fastpath_follow_tcp(const struct instance *instance);

#endif
