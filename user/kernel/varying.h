/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * varying.h - netfilter rules whose verdict, or whose effect, may differ from
 * one packet of a flow to the next: rates, quotas, logs, queues, what looks at
 * a packet's length or content. The fast path shows netfilter one packet a
 * second of a flow, which stands for the others; so there must be none.
 *
 * Read as foreign.h reads: nf_tables over netlink, legacy iptables by
 * getsockopt, no tool and no module. Needs CAP_NET_ADMIN. What is not known to
 * be the same for a whole flow varies.
 */
#ifndef MASQ_VARYING_H
#define MASQ_VARYING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * 1: *text names the first such rule that a forwarded packet of an established
 * flow could meet; 0: there is none, *text is ""; -errno: could not be read,
 * not printed. *tracked: that holds for what conntrack calls established alone,
 * since there are rules that go by its states.
 */
int varying_find(char *text, size_t len, bool *tracked);

#endif
