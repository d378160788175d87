/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * common.h - what every room needs and no family is involved in: the clock,
 * the policy in force, counting, the classes of packets.
 */
#ifndef MASQ_COMMON_H
#define MASQ_COMMON_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "masqbpf.h"
#include "maps.h"

#ifndef likely /* newer libbpf has them */
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
#define MASQ_NOINLINE static __attribute__((noinline))
#define MASQ_INLINE   static __always_inline
/* Verified once by itself: arguments are scalars and the context only. */
#define MASQ_GLOBAL __attribute__((noinline))

/*
 * Calls a subprogram for its effects. Without a use of the result the compiler
 * would leave r0 as it happens to be, and the verifier may answer "cannot
 * return stack pointer to the caller".
 */
#define MASQ_DO(call)                               \
	do {                                        \
		int ignored_ = (call);              \
		asm volatile("" : : "r"(ignored_)); \
	} while (0)

#define MASQ_PASTE_(a, b) a##b
#define MASQ_PASTE(a, b)  MASQ_PASTE_(a, b)

/* Older UAPI headers (Linux 6.1) lack some of these. */
#define MASQ_FIB_SKIP_NEIGH  0x04 /* BPF_FIB_LOOKUP_SKIP_NEIGH, 6.5 */
#define MASQ_FIB_LOOKUP_SRC  0x10 /* BPF_FIB_LOOKUP_SRC, 6.7 */
#define MASQ_FIB_LOOKUP_MARK 0x20 /* BPF_FIB_LOOKUP_MARK, 6.10 */
#define MASQ_LOOPBACK	     1 /* the ifindex of lo, in every network namespace */
/* where fib->mark is since then */
#define MASQ_FIB_MARK(fib)	 (*(__u32 *)(fib)->smac)
#define MASQ_FIB_RET_NO_SRC_ADDR 9 /* BPF_FIB_LKUP_RET_NO_SRC_ADDR, 6.7 */

/*
 * <linux/icmp.h> pulls in libc headers that don't build for the bpf target, so
 * the few names needed of it stand here. RFC 792, RFC 4443.
 */
struct masq_icmphdr {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id; /* of queries */
	__be16 sequence;
};
enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMP_TIMESTAMP = 13,
	ICMP_TIMESTAMPREPLY = 14,
	ICMP_INFO_REQUEST = 15,
	ICMP_INFO_REPLY = 16,
	ICMP_ADDRESS = 17,
	ICMP_ADDRESSREPLY = 18,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
};

/* Set by user space between open and load; the verifier prunes by it. */
const volatile __u32 masq_features = 0; /* MASQ_FEAT_* */
/*
 * Random; stands in skb->cb[0] of packets that have left our hands translated,
 * so that no second egress hook of this instance takes them for the node's own
 * (the other kind of hook during a switch, a device below, the uplink after
 * the fast path). It never outlives an IP stack, which clears the place.
 */
const volatile __u32 masq_seal = 0;
/* Layout of the instance whose flows this one takes over, 0: none; inherit.h. */
const volatile __u32 masq_before = 0;

/* For the fast path; all 0: unknown. */
const volatile struct masq_offsets masq_offsets = {};

/* What a packet can do to the table (contract: E1-E7, I1-I4). */
enum masq_class {
	MASQ_C_OPENER, /* SYN, UDP, query, any other protocol: may begin a flow */
	MASQ_C_ACK, /* TCP ACK without SYN, FIN, RST: may be mid-stream */
	MASQ_C_OTHER, /* SYN-ACK, FIN, RST, NULL, XMAS, answers: begin nothing */
	MASQ_C_ICMP_ERROR,
	MASQ_C_MESSAGE, /* ICMP that is neither: redirects, what is unknown */
	MASQ_C_FRAGMENT, /* not the first one: no ports to see */
	MASQ_C_DISCOVERY, /* neighbour, router, multicast listener messages */
	MASQ_C_MALFORMED,
};

enum masq_dir {
	MASQ_EGRESS,
	MASQ_INGRESS
};

/* Answers beside the reasons: not about a flow of ours; make a record first. */
enum {
	MASQ_NOT_OURS = MASQ_R_MAX,
	MASQ_MAKE_FLOW,
	MASQ_NO_PLACE_YET, /* make_flow: once more, after open_around */
	MASQ_OWN_ADDRESS, /* whose: its source is an address of the node */
	MASQ_INHERIT, /* the flow that scratch->owner names is to be taken over */
	MASQ_ANSWER, /* other: to what leaves by an uplink */
	MASQ_ELSEWHERE = 0x100, /* beside a reason: to scratch->redirect */
};

/*
 * A look for room passes by so many labels of pages, and opens pages of two
 * kinds: first those in which something may have expired, then, to find out who
 * has to go, pages until so many records have been read, or a few pages once
 * there is somebody who is closed or was never answered. After
 * MASQ_LOOKS_BARREN looks in one tick that found nothing, that tick's further
 * ones are not made; of each kind by itself.
 */
#define MASQ_LOOK_LABELS 512
#define MASQ_LOOK_STEP	 64 /* without bpf_loop: so many at a time */
#ifdef MASQ_MODERN
#define MASQ_LOOK_PAGES 128
#else
#define MASQ_LOOK_PAGES 32
#endif
#define MASQ_LOOK_DUE	  32
#define MASQ_LOOK_RECORDS 256
#define MASQ_LOOK_ENOUGH  2
#define MASQ_LOOKS_BARREN 4
/* Pages that one request of user space opens at most. */
#define MASQ_RECLAIM_PAGES 512
/* Flows that one look ends, at most, beside the expired ones. */
#define MASQ_LOOK_ENDS 8
/* Ticks after which an empty page may be looked at. */
#define MASQ_FAR_AHEAD (1 << 30)
/* New flows for each of which the hand passes by a label: maxFlows of them move
 * it round the table more than twice. */
#define MASQ_HAND_FLOWS 4

/* Which flow goes first when room is needed (contract, "Limits"). */
enum masq_rank {
	MASQ_RANK_EXPIRED,
	MASQ_RANK_CLOSED,
	MASQ_RANK_UNANSWERED,
	MASQ_RANK_BRIEF, /* answered once, and idle */
	MASQ_RANK_HALF, /* half closed, and idle */
	MASQ_RANK_KEPT, /* established, but today's policy keeps it as well */
	MASQ_RANK_NEVER,
};

/* Probes of a port search: a twentieth of them meets NodePorts, and 0.99^608 =
 * 0.2 % of failures at 99 % occupancy. */
#define MASQ_PROBES	   640
#define MASQ_PROBES_LEGACY 32
/* Searches for one flow: a port that was free may be another's a moment later. */
#define MASQ_SEARCHES 3
/* A flow's node address is looked at once in 2^6 ticks: 1 s at HZ=1000, 4 s at
 * HZ=250. An expiry is too rare for it: hours of a dead address. */
#define MASQ_ADDRESS_SHIFT 6
/* How far from the inside's acknowledgment a RST or FIN is believed, in bytes. */
#define MASQ_RST_WINDOW (1 << 20)
#define MASQ_TCP_FIN	0x01
#define MASQ_TCP_SYN	0x02
#define MASQ_TCP_RST	0x04
#define MASQ_TCP_ACK	0x10

/* kernel: jiffies64 since 5.6; 1 ns, where ktime costs 35 on some machines */
MASQ_INLINE __u32 masq_now(void)
{
	return (__u32)(bpf_jiffies64() >> MASQ_TICK_SHIFT);
}

MASQ_INLINE void masq_stat(__u32 index, __u64 n)
{
	__u64 *count = bpf_map_lookup_elem(&masq_stats, &index);

	if (count)
		*count += n; /* per CPU, softirqs off */
}

/* Which half is in force; read once per packet. */
MASQ_INLINE __u32 masq_half(void)
{
	__u32 zero = 0, *half = bpf_map_lookup_elem(&masq_active, &zero);

	return half ? *(volatile __u32 *)half & 1 : 0;
}

MASQ_INLINE struct masq_policy *masq_policy_of(__u32 half)
{
	return bpf_map_lookup_elem(&masq_policy, &half);
}

/* Until when a first fragment, or an early one, is remembered. */
MASQ_INLINE __u32 masq_fragment_expiry(void)
{
	struct masq_policy *pol = masq_policy_of(masq_half());

	return masq_now() + (pol ? pol->fragment : 0);
}

MASQ_INLINE struct masq_usage *masq_usage_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&masq_usage, &zero);
}

/* Does any flow of the node itself have a port of ours? */
MASQ_INLINE bool masq_host_flows(void)
{
	struct masq_usage *u = masq_usage_get();

	return u && u->host > 0;
}

MASQ_INLINE struct masq_scratch *masq_scratch_get(__u32 slot)
{
	return bpf_map_lookup_elem(&masq_scratch, &slot);
}

MASQ_INLINE void masq_count_prefix(__u32 prefix, enum masq_dir dir,
				   __u32 packets, __u32 bytes, __u32 flows)
{
	struct masq_prefix_count *c;

	c = bpf_map_lookup_elem(&masq_counters, &prefix);
	if (!c)
		return;
	if (dir == MASQ_EGRESS) {
		c->egress.packets += packets;
		c->egress.bytes += bytes;
	} else {
		c->ingress.packets += packets;
		c->ingress.bytes += bytes;
	}
	if (flows)
		c->flows += flows;
}

/* May a port that we choose or keep be used? False for NodePorts and the
 * system's reserved ports. */
MASQ_INLINE bool masq_port_allowed(__u32 half, __u16 port)
{
	__u32 index = half * MASQ_PORT_WORDS + (port >> 6);
	__u64 *word = bpf_map_lookup_elem(&masq_ports, &index);

	return word && !(*word >> (port & 63) & 1);
}

/* Has `time` come? Valid for distances below half the range of ticks. */
MASQ_INLINE bool masq_passed(__u32 now, __u32 time)
{
	return (__s32)(now - time) >= 0;
}

/* Two seconds in ticks, after which an answered UDP flow is established. */
MASQ_INLINE __u32 masq_two_seconds(const struct masq_policy *pol)
{
	return pol->fragment / (MASQ_FRAG_SECONDS / 2);
}

/* How long `expires` lies ahead of a flow's packet: the sixty-fourth covers
 * packets that do not refresh (flow_touch). */
MASQ_INLINE __u32 masq_lasting(__u32 timeout)
{
	return timeout + timeout / 64 + 1;
}

MASQ_INLINE __u32 masq_budget_of(__u32 kind, __u8 role)
{
	switch (kind) {
	case MASQ_K_FWD:
		return role == MASQ_ROLE_HOST ? MASQ_B_NODE : MASQ_B_MASQUERADE;
	case MASQ_K_KEEP:
		return MASQ_B_KEEP;
	case MASQ_K_INBOUND:
		return MASQ_B_INBOUND;
	case MASQ_K_RESERVED:
		return MASQ_B_NODE;
	case MASQ_K_EIM:
		return MASQ_B_EIM;
	default:
		return MASQ_B_MAX; /* REV: its owner counts */
	}
}

/* Flows of a budget that may be there at once. */
MASQ_INLINE __u32 masq_budget_max(const struct masq_policy *pol, __u32 budget)
{
	return budget == MASQ_B_EIM ? pol->max_flows / 4 : pol->max_flows;
}

/* One more look of this tick found nothing. */
MASQ_INLINE void masq_in_vain(struct masq_looks *looks, __u32 now)
{
	looks->count = looks->tick == now ? looks->count + 1 : 1;
	looks->tick = now;
}

/* Has this tick seen enough of them? */
MASQ_INLINE bool masq_no_more_looks(const struct masq_looks *looks, __u32 now)
{
	return looks->tick == now && looks->count >= MASQ_LOOKS_BARREN;
}

/* What counts for a pod's quota. */
MASQ_INLINE __s32 masq_open_flows(const struct masq_pod_usage *p)
{
	__s32 closed = p->closed;

	return p->flows - (closed > 0 ? closed : 0);
}

/* Two processors in one direction of one flow may lose a count here, never in
 * the per-CPU prefix counters. */
MASQ_INLINE void masq_tally_add(struct masq_tally *t, __u32 packets,
				__u32 bytes)
{
	const __u32 low = (1 << MASQ_TALLY_BYTES_BITS) - 1;
	__u32 p = t->packets + packets, b = t->bytes + bytes;

	if (unlikely(p < packets))
		t->high += low + 1;
	if (unlikely(b < bytes))
		t->high = (t->high & ~low) | ((t->high + 1) & low);
	t->packets = p;
	t->bytes = b;
}

MASQ_INLINE struct masq_count masq_tally_read(const struct masq_tally *t)
{
	struct masq_count c = {
		.packets = t->packets |
			   (__u64)(t->high >> MASQ_TALLY_BYTES_BITS) << 32,
		.bytes = t->bytes |
			 (__u64)(t->high & ((1 << MASQ_TALLY_BYTES_BITS) - 1))
				 << 32,
	};

	return c;
}

/* One's complement sum of 16-bit words, RFC 1071. */
MASQ_INLINE __u16 masq_csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* RFC 1624 eqn. 3 for a 32-bit field; all in network order. */
MASQ_INLINE __u16 masq_csum_replace4(__u16 check, __be32 from, __be32 to)
{
	return masq_csum_fold((__u64)(__u16)~check + (__u32)~from + (__u32)to);
}

#endif
