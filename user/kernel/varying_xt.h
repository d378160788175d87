/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * varying_xt.h - matches and targets of xtables, in tables of either kind: what
 * they do to the packets of one established flow. See varying.h.
 */
#ifndef MASQ_VARYING_XT_H
#define MASQ_VARYING_XT_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/netfilter/nf_conntrack_common.h>

#define VARYING_ESTABLISHED NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
/* TCP flags that no packet of the fast path has, and those that may change */
#define VARYING_FLAGS_NEVER 0x07 /* FIN, SYN, RST */
#define VARYING_FLAGS	    0xe8 /* PSH, URG, ECE, CWR */

/* What a part of a rule does to packets of one established flow. */
enum varying_effect {
	VARYING_SAME, /* the same to each */
	VARYING_NEVER, /* none gets past it */
	VARYING_VARIES,
};

/* Of a match, by its name, data and revision. */
enum varying_effect varying_xt_match(const char *name, const void *data,
				     size_t size, unsigned int rev);
/* Does every packet of an established flow get past it? */
bool varying_xt_lets_all(const char *name, const void *data, size_t size,
			 unsigned int rev);
/* Does this target treat all packets of a flow alike? */
bool varying_xt_target(const char *name, const void *data, size_t size,
		       unsigned int rev);
/* Does it keep conntrack off a packet? */
bool varying_xt_keeps_off(const char *target);

#endif
