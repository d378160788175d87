/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fastpath_tcp.h - TCP on the fast path, and what conntrack says of that: it
 * may be liberal with all connections (a sysctl) or with one (ctnetlink).
 */
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
/*
 * For as long as conntrack is strict: lets connections ask for themselves, and
 * makes conntrack liberal with those that have asked since the last time and
 * have sent more than a few packets; of a large table a part each time. Needs
 * CAP_NET_ADMIN. 0 or -errno, printed.
 */
int fastpath_serve_tcp(struct instance *instance);
/* May they ask? The packets say for themselves whether the kernel tells. */
bool fastpath_tcp_by_flow(const struct instance *instance);

#endif
