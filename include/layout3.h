/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * layout3.h - flow records of layout 3 (until 2bd5a44), for bpf/before3.h: keys
 * are what they still are, records lie in a hash map. To be deleted, with that
 * file, when nobody upgrades from it any more.
 */
#ifndef MASQ_LAYOUT3_H
#define MASQ_LAYOUT3_H

#include "masqbpf.h"

#define MASQ_BEFORE3_BODY(words)                                           \
	__u32 last_seen; /* tick */                                        \
	__u32 expires; /* tick */                                          \
	__u8 kind; /* enum masq_kind */                                    \
	__u8 state; /* enum masq_state */                                  \
	__u8 out_seen; /* MASQ_SEEN_* */                                   \
	__u8 in_seen;                                                      \
	__u32 prefix; /* slot in masq_prefixes */                          \
	__u32 generation;                                                  \
	__u32 created; /* tick */                                          \
	__be16 xlat_port; /* FWD: node's port or id; REV: the pod's */     \
	__u16 flags; /* MASQ_F_* */                                        \
	union {                                                            \
		__be32 xlat_addr[words]; /* FWD: node's; REV: the pod's */ \
		__u32 pod_ack; /* KEEP, INBOUND; host order */             \
	};                                                                 \
	__u32 pad[words == 4]; /* eight bytes further, what counts */      \
	union {                                                            \
		struct masq_count egress; /* all but REV */                \
		__u32 rev_extra[4]; /* the fast path's */                  \
	};                                                                 \
	union {                                                            \
		struct masq_count ingress; /* all but FWD */               \
		__u32 fwd_pod_ack;                                         \
	}

struct masq_before3_flow4 {
	MASQ_BEFORE3_BODY(1);
};

struct masq_before3_flow6 {
	MASQ_BEFORE3_BODY(4);
};

_Static_assert(sizeof(struct masq_before3_flow4) == 64, "layout 3, IPv4");
_Static_assert(sizeof(struct masq_before3_flow6) == 80, "layout 3, IPv6");

#endif
