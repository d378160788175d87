/* SPDX-License-Identifier: GPL-2.0-only */
/* rule.h - which of the node's routing rules (`ip rule`) a packet meets. Reads
 * only. */
#ifndef MASQ_KERNEL_RULE_H
#define MASQ_KERNEL_RULE_H

#include "kernel/links.h"

/*
 * The kernel found no route: because a rule says unreachable? It has the same
 * error for both (net/ipv4/fib_rules.c), and tables before that rule had none,
 * so one that fits the packet is the answer. Arguments as of netdev_ask_route;
 * the packet has no mark and TOS 0. A rule that goes by what is not known here
 * does not fit. False, too, where the rules could not be read.
 */
bool rule_says_unreachable(const struct addr *dst, const struct addr *src,
			   uint32_t iif, const struct netdev_kind *kind);

#endif
