/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * varying_xt.h - matches and targets of xtables, in tables of either kind: what
 * they do to the packets of one established flow. See varying.h.
 */
#ifndef MASQ_VARYING_XT_H
#define MASQ_VARYING_XT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/netfilter/nf_conntrack_common.h>

#define VARYING_ESTABLISHED NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
#define VARYING_ACK	    0x10 /* a TCP flag that all of the fast path have */
/* TCP flags that no packet of the fast path has, and those that may change */
#define VARYING_FLAGS_NEVER 0x07 /* FIN, SYN, RST */
#define VARYING_FLAGS	    0xe8 /* PSH, URG, ECE, CWR */

/* What a part of a rule does to packets of one established flow. */
enum varying_effect {
	VARYING_SAME, /* the same to each */
	VARYING_NEVER, /* none gets past it */
	VARYING_UNKNOWN, /* none of those that conntrack knows does */
	VARYING_VARIES,
};

/* The list ends with NULL. */
bool varying_is_in(const char *name, const char *const *list);
/* Of a match, by its name, data and revision. */
enum varying_effect varying_xt_match(const char *name, const void *data,
				     size_t size, unsigned int rev);
/* Does every packet of an established flow get past it? */
bool varying_xt_lets_all(const char *name, const void *data, size_t size,
			 unsigned int rev);
/* Does this match go by conntrack's states? */
bool varying_xt_by_state(const char *name);
/* Does it go by a mark of the connection's that is not 0? */
bool varying_xt_by_mark(const char *name, const void *data, size_t size);
/* Does this target write the connection's mark? */
bool varying_xt_marks(const char *name, const void *data, size_t size,
		      unsigned int rev);
/* What a rule does with the packet's mark and the connection's; all of it on one
 * node, and a packet may find the mark that the one before has turned over. */
#define VARYING_SAVES	 0x1 /* to the connection */
#define VARYING_RESTORES 0x2 /* from it */
#define VARYING_TURNS	 0x4 /* to another each time */
#define VARYING_AGAIN	 (VARYING_SAVES | VARYING_RESTORES)
#define VARYING_TURNED	 "a mark that each packet turns over"
uint8_t varying_xt_mark(const char *name, const void *data, size_t size,
			unsigned int rev);
/* Does it give a connection a helper, which lasts? */
bool varying_xt_helps(const char *name, const void *data, size_t size);
/* Does this target treat all packets of a flow alike? */
bool varying_xt_target(const char *name, const void *data, size_t size,
		       unsigned int rev);

#endif
