/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * masqbpf.h - everything that the dataplane (bpf/) and the control program
 * (user/) have to agree on: map keys and values, the list of reasons, limits
 * and the layout version. It is the only definition of each.
 *
 * Byte order: __beNN is network order, everything else host order.
 * Time: a "tick" is 16 jiffies (jiffies64 >> 4, truncated to 32 bits), that
 * is 16 ms at HZ=1000 and 160 ms at HZ=100. Compare ticks only by signed
 * difference; the wrap is 2.1 years away at HZ=1000.
 */
#ifndef MASQBPF_H
#define MASQBPF_H

#include <linux/bpf.h>
#include <linux/types.h>

/* Change it with any layout below: pins of another layout are refused. */
#define MASQ_ABI	       4
#define MASQ_MAGIC	       0x4d415351 /* "MASQ" */

#define MASQ_TICK_SHIFT	       4

#define MASQ_DEFAULT_MAX_FLOWS 262144
#define MASQ_MIN_PREFIX_SLOTS  1024
#define MASQ_MAX_SNAT	       256 /* slots of masq_snat, both families */
#define MASQ_MAX_IFACES	       256
#define MASQ_MAX_PODS	       65536
#define MASQ_NO_PREFIX \
	0xffffffff /* inbound and host flows: no policy made them */
#define MASQ_PORT_WORDS 1024 /* 65536 ports, 64 a word */

/*
 * Reasons: why a packet was passed or dropped without translation.
 * R(id, name, verdict, what happened, what to do about it)
 * The enum, `masqbpf counters`, the metric label and docs come from here.
 */
#define MASQ_REASONS(R)                                                         \
	R(NONE, "none", PASS, "translated, or passed by its record", "")        \
	R(NOT_IP, "not_ip", PASS, "neither IPv4 nor IPv6 (ARP and the like)",   \
	  "")                                                                   \
	R(FAMILY_OFF, "family_off", PASS,                                       \
	  "IPv6, and the policy does not ask for IPv6",                         \
	  "set enableIPv6: true to translate it")                               \
	R(MULTICAST, "multicast", PASS, "multicast or broadcast destination",   \
	  "")                                                                   \
	R(LINK_LOCAL, "link_local", PASS,                                       \
	  "link-local source, or IPv6 link-local destination", "")              \
	R(DISCOVERY, "discovery", PASS, "neighbour or router discovery", "")    \
	R(HOST, "host", PASS, "the node's own traffic", "")                     \
	R(NOT_POD, "not_pod", PASS, "source outside podCIDRs", "")              \
	R(KEPT, "kept", PASS,                                                   \
	  "kept by policy, and nothing that a record would be made for", "")    \
	R(KEEP_UNTRACKED, "keep_untracked", PASS,                               \
	  "kept by policy, but the flow table had no room for its record",      \
	  "raise maxFlows")                                                     \
	R(INBOUND_UNTRACKED, "inbound_untracked", PASS,                         \
	  "inbound, but the flow table had no room for its record",             \
	  "raise maxFlows")                                                     \
	R(INBOUND, "inbound", PASS,                                             \
	  "inbound without a record: nothing that a record is made for", "")    \
	R(NO_FLOW, "no_flow", DROP,                                             \
	  "would need translation, but belongs to no known flow",               \
	  "normal for scanners and for connections older than attach")          \
	R(NO_ADDRESS, "no_address", DROP,                                       \
	  "no node address to translate to, or the flow's address is gone",     \
	  "give the uplink an address of this family")                          \
	R(NO_PORT, "no_port", DROP,                                             \
	  "every source port towards this destination is taken",                \
	  "widen snat.portRange or add source addresses")                       \
	R(TABLE_FULL, "table_full", DROP,                                       \
	  "the flow table is full of flows that must not be evicted",           \
	  "raise maxFlows")                                                     \
	R(POD_QUOTA, "pod_quota", DROP,                                         \
	  "this pod has its maxFlowsPerPod, all in use",                        \
	  "find the pod with masqbpf top, or raise maxFlowsPerPod")             \
	R(MALFORMED, "malformed", DROP,                                         \
	  "header truncated or contradicting itself, towards masquerade", "")   \
	R(FRAGMENT, "fragment", DROP,                                           \
	  "fragment whose first fragment is unknown or that overlaps a header", \
	  "")                                                                   \
	R(PROTOCOL, "protocol", DROP,                                           \
	  "a protocol without ports whose single mapping is taken", "")         \
	R(FOREIGN_SOURCE, "foreign_source", DROP,                               \
	  "source outside podCIDRs, and dropForeignSources is on", "")          \
	R(REWRITE, "rewrite", DROP, "the kernel refused to change the packet",  \
	  "report it with masqbpf doctor --report")                             \
	R(BUSY, "busy", DROP, "its record changed hands in this very moment",   \
	  "rare and harmless: the next packet gets through")

enum masq_verdict_kind {
	MASQ_PASS,
	MASQ_DROP
};

enum masq_reason {
#define R(id, name, verdict, what, todo) MASQ_R_##id,
	MASQ_REASONS(R)
#undef R
	MASQ_R_MAX,
};

/*
 * Per-CPU event counters that are no verdicts (map masq_stats, after the
 * reasons): port search and the work of the reclaim hand.
 */
enum masq_stat {
	MASQ_S_PORT_FAIL = MASQ_R_MAX, /* searches that found no port */
	MASQ_S_PORT_KEPT, /* own port was free at once */
	MASQ_S_TRIES_1, /* histogram: probes <= 1, 2, 4 ... */
	MASQ_S_TRIES_2,
	MASQ_S_TRIES_4,
	MASQ_S_TRIES_8,
	MASQ_S_TRIES_16,
	MASQ_S_TRIES_32,
	MASQ_S_TRIES_64,
	MASQ_S_TRIES_INF,
	MASQ_S_TRIES_SUM,
	MASQ_S_EXPIRED, /* flows whose memory was freed after their time */
	MASQ_S_RECLAIMED, /* flows ended early to make room for others */
	MASQ_S_TAKEN_OVER, /* of these: unanswered ones, for their port */
	MASQ_S_SPILLED, /* records that did not fit their first page */
	MASQ_S_OVERFLOWED, /* of these: nor their second one */
	MASQ_S_FRAG_HELD, /* fragments copied because they came early */
	MASQ_S_FRAG_RELEASED, /* of these: sent after their first came */
	MASQ_S_REFUSED, /* new flows answered with an ICMP error */
	MASQ_S_INHERITED, /* flows taken over from the instance before */
	MASQ_S_MAX,
};

enum masq_action {
	MASQ_MASQUERADE,
	MASQ_KEEP
};

/* What a flow record is. */
enum masq_kind {
	MASQ_K_FWD = 1, /* masquerade, inside view: pod -> remote (the owner) */
	MASQ_K_REV, /* masquerade, outside view: node:xlat <- remote */
	MASQ_K_KEEP, /* opened by a pod, not translated */
	MASQ_K_INBOUND, /* opened from outside towards a forwarded address */
	MASQ_K_EIM, /* the external port of a pod socket after a collision */
	MASQ_K_RESERVED, /* the node or netfilter has it: the port is taken */
};

enum masq_state {
	MASQ_ST_NEW,
	MASQ_ST_ESTABLISHED,
	MASQ_ST_CLOSING, /* one FIN seen: half closed, still in use */
	MASQ_ST_CLOSED, /* both FINs or a RST seen */
};

/* What one direction of a flow has shown so far; each byte has one writer. */
#define MASQ_SEEN_ONE  0x01 /* a packet */
#define MASQ_SEEN_TWO  0x02 /* a second packet */
#define MASQ_SEEN_SYN  0x04
#define MASQ_SEEN_ACK  0x08
#define MASQ_SEEN_FIN  0x10
#define MASQ_SEEN_RST  0x20
#define MASQ_SEEN_LATE 0x40 /* one two seconds or more after the flow began */

/*
 * Flow keys: always the view from inside, whichever way the packet goes:
 * "in" is the address on our side of the uplink (the source on egress, the
 * destination on ingress), "rem" the far side. One lookup by this key finds
 * the record of a packet in either direction:
 *   pod tuple	      -> FWD, KEEP or INBOUND record (the owner of the flow)
 *   node address + port -> REV record of a masqueraded flow
 * ICMP echo: in_port is the identifier, rem_port 0.
 * Protocols without ports: both 0.
 */
enum masq_role {
	MASQ_ROLE_FLOW, /* everything but the two below */
	MASQ_ROLE_HOST, /* a host flow whose port a pod owns: its FWD record */
	MASQ_ROLE_QUERY, /* an ICMP query that was asked from outside */
};

/* Keys are read in words of eight bytes. */
struct masq_key4 {
	__be32 in_addr[1];
	__be32 rem_addr[1];
	__be16 in_port;
	__be16 rem_port;
	__u8 proto;
	__u8 role; /* enum masq_role */
	__u16 pad;
} __attribute__((aligned(8)));

struct masq_key6 {
	__be32 in_addr[4];
	__be32 rem_addr[4];
	__be16 in_port;
	__be16 rem_port;
	__u8 proto;
	__u8 role;
	__u16 pad;
} __attribute__((aligned(8)));

/* L3 bytes and wire packets (a GSO packet counts as what it becomes). */
struct masq_count {
	__u64 packets;
	__u64 bytes;
};

/* The same as a record has it: 44 bits of packets, 52 of bytes. */
struct masq_tally {
	__u32 packets; /* low 32 bits */
	__u32 bytes; /* low 32 bits */
	__u32 high; /* 12 bits of packets, 20 of bytes */
};
#define MASQ_TALLY_BYTES_BITS 20

/*
 * A flow record: all that an established packet reads and writes, with its key
 * in front; one cache line for IPv4, two for IPv6. It lies in a slot of the
 * flow table (bpf/table.h) and is read without a lock.
 *
 * The word from in_port to seq says whose the slot is. `what` is 0 in a free
 * slot; a reader takes a record for its own when the whole word but kind and
 * seq is what it looks for, and what it has read for consistent when the word,
 * seq included, is still the same afterwards. seq changes with each use of the
 * slot. `hops` belongs to the slot, not to the record: bit i says that slot + i
 * of this page holds a record whose first place would be here; bit 15, that
 * one lies in another page.
 *
 * `expires`, `out_seen` and `in_seen` are decided in the flow's owner (every
 * kind but REV), and a REV record has copies. They change under the lock of
 * the record's stripe alone; last_seen, pod_ack and the tallies are written
 * without one, by whoever has a packet.
 */
#define MASQ_W_ROLE	   0x03 /* bits of `what` */
#define MASQ_W_LIVE	   0x04 /* readers see it */
#define MASQ_W_MADE	   0x08 /* being made or ended: nobody's but its maker's */
#define MASQ_W_KIND	   4 /* shift: enum masq_kind */
#define MASQ_HOPS	   15 /* slots of the neighbourhood */
#define MASQ_HOP_ELSEWHERE (1 << MASQ_HOPS)

#define MASQ_FLOW_BODY(words)                                                    \
	__be16 in_port;                                                          \
	__be16 rem_port;                                                         \
	__u8 proto;                                                              \
	__u8 what; /* MASQ_W_*, role, kind */                                    \
	__u16 seq;                                                               \
	__u32 last_seen; /* tick */                                              \
	__u32 expires; /* tick */                                                \
	__u8 out_seen; /* MASQ_SEEN_* of the pod's packets */                    \
	__u8 in_seen; /* MASQ_SEEN_* of the far side's */                        \
	__u16 hops; /* of the slot, see above */                                 \
	__u32 prefix; /* slot in masq_prefixes */                                \
	union {                                                                  \
		struct { /* FWD, REV, EIM */                                     \
			/* FWD: node address; REV: the pod's */                  \
			__be32 xlat_addr[words];                                 \
			__be16 xlat_port; /* or id */                            \
			__u16 fast; /* MASQ_FAST_*; 0: the stack has it */       \
			union {                                                  \
				__u32 device; /* FWD: ifindex it leaves by */    \
				__u32 pod_mtu; /* REV: older versions' */        \
			};                                                       \
		};                                                               \
		struct masq_tally back; /* KEEP, INBOUND: ingress */             \
	};                                                                       \
	/* the pod's last TCP acknowledgment, host order: what a RST or a FIN  \
	 * from outside is measured by */ \
	__u32 pod_ack;                                                           \
	struct masq_tally tally; /* REV: ingress; all others: egress */          \
	__u32 pod_device /* ifindex that the pod's packets come in by */

struct masq_flow4 {
	__be32 in_addr[1];
	__be32 rem_addr[1];
	MASQ_FLOW_BODY(1);
} __attribute__((aligned(8))); /* the word from in_port to seq is one access */

struct masq_flow6 {
	__be32 in_addr[4];
	__be32 rem_addr[4];
	MASQ_FLOW_BODY(4);
	__u32 spare[7];
} __attribute__((aligned(8)));

/* What is needed of a record only now and then; same slot, a map apart. */
struct masq_aside {
	__u32 created; /* tick */
	__u32 generation; /* whose policy decided */
	__u32 peer; /* slot of the pair's other record */
	__u16 peer_seq; /* and its seq; a pair's records name each other */
	__u16 flags; /* MASQ_F_* */
};

#define MASQ_F_FIXED  0x1 /* from snat.addresses: need not be local */
#define MASQ_F_SEEDED 0x2 /* taken over from the kernel's conntrack table */

_Static_assert(sizeof(struct masq_key4) == 16, "masq_key4");
_Static_assert(sizeof(struct masq_key6) == 40, "masq_key6");
_Static_assert(sizeof(struct masq_flow4) == 64, "one cache line");
_Static_assert(sizeof(struct masq_flow6) == 128, "two cache lines");
_Static_assert(sizeof(struct masq_aside) == 16, "masq_aside");

/*
 * The flow table of a family: pages of 64 slots in an array. A stripe is
 * `ways` pages and one more for what does not fit (page ways * stripes +
 * stripe); page i < ways * stripes belongs to stripe i % stripes. A slot's
 * number is page * 64 + its place in the page.
 */
#define MASQ_PAGE_SHIFT 6
#define MASQ_PAGE_SLOTS (1 << MASQ_PAGE_SHIFT)
#define MASQ_NO_SLOT	0xffffffff
#define MASQ_MAX_WAYS	32
#define MASQ_LOCKS	1024 /* a stripe's is stripe % MASQ_LOCKS */

/* What is known of a page without reading all of it; changes under the lock. */
struct masq_label {
	__u64 used; /* bit i: slot i is not free */
	__u64 pods; /* bit hash: an owner of this pod may be among them */
	__u32 soonest; /* tick: none of them expires before */
	__u32 changes; /* of `soonest` and `pods` */
	__u32 elsewhere; /* records whose place would be here and is not */
	__u32 flagged; /* some slots' hops may say so */
	__u32 pad[8]; /* a cache line */
};
_Static_assert(sizeof(struct masq_label) == 64, "masq_label");

struct masq_page4 {
	struct masq_label label;
	struct masq_flow4 slot[MASQ_PAGE_SLOTS];
};

struct masq_page6 {
	struct masq_label label;
	struct masq_flow6 slot[MASQ_PAGE_SLOTS];
};

struct masq_aside_page {
	struct masq_aside slot[MASQ_PAGE_SLOTS];
};

struct masq_lock {
	struct bpf_spin_lock lock;
	__u32 pad[15]; /* a cache line each */
};

/* The shape of a table, fixed when it is made. */
struct masq_shape {
	__u32 stripes;
	__u32 ways; /* at least 2 */
};

/* Slots for `flows` masquerade flows: two records each, as many kept and
 * inbound ones, and a half of that to spare; two thirds full at most. */
#define MASQ_SLOTS_PER_FLOW 6

static inline struct masq_shape masq_shape_for(__u64 flows)
{
	__u64 pages = (flows * MASQ_SLOTS_PER_FLOW + MASQ_PAGE_SLOTS - 1) >>
		      MASQ_PAGE_SHIFT;
	struct masq_shape shape = { .stripes = 1, .ways = pages };

	if (pages < 2)
		shape.ways = 2;
	if (pages > MASQ_MAX_WAYS) {
		shape.ways = MASQ_MAX_WAYS;
		shape.stripes = (pages + MASQ_MAX_WAYS - 1) / MASQ_MAX_WAYS;
	}
	return shape;
}

static inline __u32 masq_shape_pages(struct masq_shape shape)
{
	return shape.stripes * (shape.ways + 1);
}

/* Random keys of the table's hash: one a 32-bit word of the key, and one. */
#define MASQ_HASH_KEYS 11

/* What the state of a flow is, by what its directions have shown. RFC 6146
 * section 3.5.2; a RST closes, and any later packet that is none takes that
 * back (RFC 7857 section 2.2). UDP: as netfilter, a flow answered and in use
 * for more than two seconds. */
static inline __attribute__((always_inline)) __u8
masq_flow_state(__u8 proto, __u8 out, __u8 in)
{
	if (proto != 6 /* TCP */)
		return out && in && (out | in) & MASQ_SEEN_LATE
			       ? MASQ_ST_ESTABLISHED
			       : MASQ_ST_NEW;
	if ((out | in) & MASQ_SEEN_RST || out & in & MASQ_SEEN_FIN)
		return MASQ_ST_CLOSED;
	if (!(out & in & MASQ_SEEN_ACK))
		return MASQ_ST_NEW;
	return (out | in) & MASQ_SEEN_FIN ? MASQ_ST_CLOSING
					  : MASQ_ST_ESTABLISHED;
}

/* Timeouts of a policy, in ticks. */
enum masq_timeout {
	MASQ_T_TCP_ESTABLISHED,
	MASQ_T_TCP_TRANSITORY,
	MASQ_T_UDP,
	MASQ_T_UDP_UNREPLIED,
	MASQ_T_ICMP,
	MASQ_T_OTHER,
	MASQ_T_MAX,
};

/*
 * Policy. masq_active[0] is 0 or 1 and picks masq_policy[i], masq_trie_a or
 * masq_trie_b, and words i * MASQ_PORT_WORDS ... of masq_ports. A packet
 * reads it once. Writers fill the idle half and flip masq_active: one step.
 */
#define MASQ_P_IPV6	    0x01 /* IPv6 is translated */
#define MASQ_P_PODS4	    0x02 /* podCIDRs names IPv4 prefixes */
#define MASQ_P_PODS6	    0x04 /* podCIDRs names IPv6 prefixes */
#define MASQ_P_KEEP_SOURCES 0x08 /* nonMasqueradeSrcCIDRs is not empty */
#define MASQ_P_DROP_FOREIGN 0x10 /* sources outside podCIDRs are dropped */
#define MASQ_P_REJECT_TCP   0x20 /* answer refused SYNs with ICMP as well */
#define MASQ_P_STRICT_PORTS 0x40 /* masq_ports leaves the port range alone */
#define MASQ_P_FAST_TCP	    0x80 /* conntrack would not mind (or is not there) */
#define MASQ_P_SNAT	    0x100 /* some prefix has a source of its own */
/* what passes as no pod's, or as IPv6 that is off, gets a keep record: the guard
 * wants to see it. Set in the half in force; no part of what a policy says. */
#define MASQ_P_RECORD 0x200

struct masq_policy {
	__u32 generation; /* 0: no policy yet */
	__u32 flags; /* MASQ_P_* */
	__u32 timeout[MASQ_T_MAX];
	__u16 port_min; /* of the ports that we choose, host order */
	__u16 port_max;
	__u32 max_flows;
	__u32 max_flows_per_pod;
	__u16 node_port_min; /* what masq_ports was made from, for user space */
	__u16 node_port_max;
	__u32 fragment; /* ticks that a first fragment is remembered */
	__u32 fast; /* ticks that the stack's consent lasts on the fast path */
	__u64 applied_ns; /* CLOCK_REALTIME */
};
_Static_assert(sizeof(struct masq_policy) == 64, "masq_policy");

/*
 * Longest-prefix trie: one for both families, destinations and sources.
 * plen counts from `set` on: 32 + the CIDR's length. IPv4 uses addr[0].
 */
enum masq_lpm_set {
	MASQ_SET_DST4 = 4,
	MASQ_SET_DST6 = 6,
	MASQ_SET_SRC4 = 20,
	MASQ_SET_SRC6 = 22,
};
#define MASQ_LPM_SET_BITS 32

struct masq_lpm_key {
	__u32 plen;
	__u8 set; /* enum masq_lpm_set */
	__u8 pad[3];
	__be32 addr[4];
};
_Static_assert(sizeof(struct masq_lpm_key) == 24, "masq_lpm_key");

#define MASQ_SRC_POD  0x1 /* covered by a podCIDRs entry */
#define MASQ_SRC_KEEP 0x2 /* covered by a nonMasqueradeSrcCIDRs entry */

struct masq_lpm_value {
	__u32 prefix; /* slot in masq_prefixes (a source set: of the KEEP) */
	__u8 action; /* enum masq_action (destination sets) */
	__u8 source; /* MASQ_SRC_* (source sets) */
	__u16 snat; /* 0: node address, else MASQ_SNAT() */
};
_Static_assert(sizeof(struct masq_lpm_value) == 8, "masq_lpm_value");

/*
 * A choice of source addresses in masq_snat. Without ranges: the address in
 * that slot. Else two slots a range, from that one on: its first address, and
 * (a[0], host order) how many addresses it and the ranges before it have.
 */
#define MASQ_SNAT(slot, ranges) ((__u16)((ranges) << 8 | (slot)))
#define MASQ_SNAT_SLOT(snat)	((snat)&0xff)
#define MASQ_SNAT_RANGES(snat)	((snat) >> 8)
#define MASQ_POOL_RANGES	16

/* Whose a prefix in masq_nets is. */
#define MASQ_NET_ROUTE 1 /* a route of the node says: local */
#define MASQ_NET_SNAT  2 /* what is translated to it comes back here */

/*
 * Prefix descriptors (masq_prefixes, an mmapable array that only user space
 * reads and writes). A slot is one (prefix, list, action): when the action
 * of a prefix changes it gets another slot, because counters belong to both.
 */
enum masq_list {
	MASQ_L_FREE,
	MASQ_L_DST, /* a destination prefix with its action */
	MASQ_L_POD, /* an entry of podCIDRs */
	MASQ_L_KEEP_SOURCE, /* an entry of nonMasqueradeSrcCIDRs */
};

enum masq_origin {
	MASQ_O_BUILTIN,
	MASQ_O_PRESET,
	MASQ_O_CONFIG,
	MASQ_O_RUNTIME,
};

struct masq_prefix_half {
	__u32 line; /* in the config file */
	__u32 since; /* generation that brought it */
	__u16 snat; /* as masq_lpm_value has it */
	__u8 origin; /* enum masq_origin */
	__u8 pad;
};

struct masq_prefix {
	__be32 addr[4];
	__u8 family; /* 4 or 6 */
	__u8 plen; /* CIDR length */
	__u8 list; /* enum masq_list */
	__u8 action; /* enum masq_action */
	__u8 in_half; /* bit i: part of policy half i, half[i] is valid */
	__u8 pad[3];
	struct masq_prefix_half half[2];
};
_Static_assert(sizeof(struct masq_prefix) == 48, "masq_prefix");

/* Per-CPU counters of a prefix slot (masq_counters). */
struct masq_prefix_count {
	struct masq_count egress;
	struct masq_count ingress;
	__u64 flows;
};

/* Address to translate to, per uplink (masq_ifaces, key: ifindex). */
struct masq_iface {
	__be32 addr4; /* 0: none */
	__u32 uplink; /* slot in masq_uplinks; older versions' */
	__be32 addr6[4]; /* all 0: none */
	char name[16]; /* for people, when the device is gone */
};

/* Older versions' (masq_uplinks, an array; slot 0 stays empty). */
#define MASQ_MAX_UPLINKS 64
struct masq_uplink {
	__u32 ifindex; /* 0: none */
	__u32 mtu;
	__u8 mac[6];
	__u16 pad;
};

/* Addresses of the node (masq_local, key below; the value is a use count). */
struct masq_addr {
	__be32 a[4]; /* IPv4: a[0], the rest 0 */
} __attribute__((aligned(8)));

/*
 * The fast path's consent in a record: until which tick (its low 8 bits), and
 * the slot of the way that the stack was seen to take (masq_ways, bpf/maps.h).
 * It says nothing of a flow whose last packet is MASQ_FAST_MAX ticks old, so
 * the 8 bits are enough.
 */
#define MASQ_FAST_MAX	       64 /* ticks that a consent may last */
#define MASQ_FAST_SLOT(f)      ((f)&0xff) /* 0: no consent, see MASQ_FAST_ASKED */
#define MASQ_FAST_UNTIL(f)     ((f) >> 8)
#define MASQ_FAST(slot, until) ((__u16)((until) << 8 | (slot)))

/*
 * What the fast path may do (masq_fast, key: ifindex; 0: the node). Without an
 * entry whose time has not come a packet takes the stack. The node's entry is
 * the lease: it ends by itself when nobody looks any more, unless somebody
 * asked for the fast path without an agent (MASQ_FAST_LASTS).
 */
#define MASQ_FAST_POD	 0x1 /* a pod's interface */
#define MASQ_FAST_UPLINK 0x2
#define MASQ_FAST_NODE	 0x4
#define MASQ_FAST_LASTS	 0x8 /* `until` says nothing */
#define MASQ_FAST_TCP	 0x10 /* of MASQ_FAST_ASKED */
/* between pods' or uplinks' interfaces and the stack: a bridge, its VLANs, a VRF */
#define MASQ_FAST_BETWEEN 0x20
/* the node's: rules go by what conntrack calls established, and nothing else may
 * have consent */
#define MASQ_FAST_TRACKED 0x40
#define MASQ_MAX_FAST	  4096
/*
 * Not an ifindex: somebody makes conntrack liberal with single connections. One
 * that had the stack's consent but for conntrack's being strict with it has a
 * consent of slot 0, which no way has: for that second it asks no more, and who
 * walks the table knows that it has asked. `until`: when one last did.
 */
#define MASQ_FAST_ASKED 0xffffffff
struct masq_fast {
	__u32 flags; /* MASQ_FAST_* */
	__u32 until; /* tick; the node's, MASQ_FAST_ASKED's */
};

/*
 * Where the kernel keeps what the fast path looks at, in bytes, from its BTF;
 * all 0: it does not tell. What hangs on an interface is so seen by the packet
 * that asks for consent, and not only by who looks once a second.
 */
struct masq_offsets {
	__u32 skb_dev; /* in struct sk_buff */
	/* in struct net_device: ingress, egress */
	__u32 dev_tcx[2]; /* 0: a kernel without TCX; then ... */
	__u32 dev_miniq[2]; /* ... clsact's filters hang here */
	__u32 dev_nf[2]; /* netfilter's hooks; 0: this kernel has none */
	__u32 dev_qdisc;
	__u32 entry_bundle; /* in struct bpf_mprog_entry */
	__u32 bundle_count; /* in struct bpf_mprog_bundle */
	__u32 bundle_tcx; /* of it in struct tcx_entry */
	__u32 tcx_miniq; /* in struct tcx_entry: clsact's filters */
	__u32 miniq_filters; /* in struct mini_Qdisc */
	/* in struct tcf_proto, the filters of one priority */
	__u32 filters_next;
	__u32 filters_root; /* what cls_bpf has there; 0: not known */
	__u32 bpf_list; /* in struct cls_bpf_head */
	__u32 qdisc_enqueue; /* in struct Qdisc */
	/* conntrack's entry; all 0: unknown */
	__u32 skb_nfct; /* in struct sk_buff */
	/* 0: modules do not tell */
	__u32 ct_flags; /* of TCP's first direction in struct nf_conn */
	__u32 ct_direction; /* from there to the other's */
};

/*
 * A way through the stack (masq_ways, an array), and what a packet has to be to
 * go it: as long as a record's consent names the slot. Ways are looked for by
 * the pod's address, so that a slot's number of 8 bits is enough.
 */
#define MASQ_WAY_GROUPS 32 /* by the low bits of the address */
#define MASQ_WAYS	(MASQ_WAY_GROUPS * 256)
#define MASQ_WAY_PROBES 8
/*
 * Packets up to this many bytes are of one size: what Linux takes for the least
 * MTU of a path (ip_rt_min_pmtu), and IPv6's (RFC 8200 section 5).
 */
#define MASQ_WAY_LEAST4 552
#define MASQ_WAY_LEAST6 1280
struct masq_way {
	struct bpf_spin_lock lock; /* to take or to keep it, not to go it */
	__u32 used; /* tick; given away two seconds after */
	__u32 from; /* interface that the packets come in by; 0: never used */
	__u32 to; /* that they go to */
	__u32 mark; /* that the stack has given them */
	__u32 priority;
	__u8 came[12]; /* Ethernet addresses of a pod's packet as it comes in */
	__u8 goes[12]; /* and as it goes out */
	__u8 tos; /* without ECN */
	__u8 ttl; /* before the stack */
	__u16 size; /* L3 bytes that the stack has let through */
	__u32 pad[2];
};
_Static_assert(sizeof(struct masq_way) == 60, "masq_way");

/* Packets that took the fast path (masq_skips, per CPU). */
enum masq_skip {
	MASQ_SKIP_OUT,
	MASQ_SKIP_IN,
	MASQ_SKIP_MAX,
};

/* Of the fast path before masq_fast; the maps stay for older versions. */
#define MASQ_MAX_NEXT_HOPS 256

struct masq_next_hop {
	__u32 used; /* tick; a slot is given away two seconds after */
	__u16 uplink; /* slot in masq_uplinks; 0: never used */
	__u8 mac[6]; /* that the stack sends it to */
};

/* Looks for room that were in vain: so many in that tick. */
struct masq_looks {
	__u32 tick;
	__u32 count;
};

struct masq_pod_usage {
	__s32 flows; /* its masquerade flows, closed and expired ones too */
	__s32 closed; /* of these: closed */
	struct masq_looks barren; /* found none of its own that may go */
};

/* Fragments: what the first one leaves for the others (masq_frags). */
#define MASQ_FRAG_SECONDS 30 /* RFC 791, RFC 8200: reassembly takes longer */
#define MASQ_FRAG_NOTES	  8192
#define MASQ_HELD_BYTES	  2048 /* longest early fragment; power of two */
#define MASQ_HELD_MAX	  512 /* copies in all */
#define MASQ_HELD_EACH	  64 /* copies of one datagram; 64 KiB are 45 of 1500 */

struct masq_frag_key {
	__be32 in_addr[4];
	__be32 rem_addr[4];
	__be32 id; /* IPv4: in the low half */
	__u8 proto;
	__u8 dir; /* 0 egress, 1 ingress */
	__u8 family;
	__u8 pad;
};

struct masq_frag {
	__be32 addr[4]; /* what the inside address becomes */
	__u32 expires; /* tick */
	__u32 prefix;
	__u32 translate;
};

/* Copies of a datagram whose first fragment has not come yet (masq_awaited). */
struct masq_awaited {
	__u32 expires; /* tick */
	__u32 held;
};

struct masq_held_key {
	struct masq_frag_key frag;
	__u32 index;
};

struct masq_held {
	__u32 length;
	__u32 expires; /* tick */
	__u8 data[MASQ_HELD_BYTES];
};

/* Budgets: none can use up another's. Counted are flows with memory, expired
 * ones that have not been freed yet too. */
enum masq_budget {
	MASQ_B_MASQUERADE,
	MASQ_B_KEEP,
	MASQ_B_INBOUND,
	MASQ_B_NODE, /* RESERVED, and flows of role HOST */
	MASQ_B_EIM,
	MASQ_B_MAX,
};

/* Shared by all CPUs (masq_usage[0]); changed by atomic add. [0]: IPv4. */
struct masq_usage {
	__s64 flows[2][MASQ_B_MAX];
	__s64 host; /* flows of role HOST: none, and nobody looks for one */
	__u32 hand[2]; /* page that the clock hand looks at next */
	__u32 reader[2]; /* page that a look under pressure reads next */
	struct masq_looks barren[2][MASQ_B_MAX]; /* found no room */
	struct masq_looks dry[2]; /* met no page with what may have expired */
};

/*
 * The last policies (masq_history), which only user space reads and writes:
 * each a text of bytes in chunks; see user/policy/history.c.
 */
#define MASQ_HISTORY_CHUNKS 16384
struct masq_history_key {
	__u32 generation;
	__u32 chunk;
};

struct masq_history_chunk {
	__u8 bytes[960]; /* 1 KiB with what a hash element has in front */
};

/* Where the policy of one half comes from, for people. */
struct masq_source {
	char config_path[256]; /* "": none */
	char preset[32];
	__u64 config_hash;
	__u64 options; /* what an agent's command line added; 0: nothing */
};

/* In `options`: there was no file, and the preset stands in for it. */
#define MASQ_SOURCE_NO_FILE 8

/*
 * What the pins are (masq_meta[0]). The first part is written once, before
 * anything else; the second by whoever changes the policy.
 */
struct masq_meta {
	__u32 magic;
	__u32 abi;
	__u32 hz;
	__u32 max_flows;
	__u32 max_prefixes;
	__u32 features; /* MASQ_FEAT_* found when it was loaded */
	char version[32];
	__u64 netns; /* inode of the network namespace that it is hooked in */

	__u32 dirty; /* bit i: half i is being edited; see user/policy/apply.c */
	__u32 carried; /* a take-over: counters that have been added, by number */
	__u64 flipped_ns; /* CLOCK_MONOTONIC of the last flip of masq_active */
	struct masq_source source[2]; /* by half */

	struct masq_shape shape[2]; /* of the flow tables; [0]: IPv4 */
	__u32 seal; /* see bpf/common.h; the same in all programs of a time */
	__u32 unsettled; /* others are just being put in: user/plane/fit.c */
	__u64 programs; /* hash of the object that they are from */
	__u64 hash_key[MASQ_HASH_KEYS];
};
#define MASQ_FEAT_LOOP		0x1 /* bpf_loop, atomics that fetch (5.17) */
#define MASQ_FEAT_FIB_SRC	0x2 /* bpf_fib_lookup tells the source (6.7) */
#define MASQ_FEAT_FIB_MARK	0x4 /* and goes by the packet's mark (6.10) */
#define MASQ_FEAT_CT		0x20 /* a program may ask conntrack (5.18) */
#define MASQ_FEAT_FAST		0x8 /* attached with --fast-path */
#define MASQ_FEAT_NO_FLOW_COUNT 0x10 /* flowCounters: false */
#define MASQ_FEAT_L3		0x40 /* with masq_*_l3, for what has no Ethernet */

/*
 * Events. A ring buffer has one reader, so each of a few listeners has its
 * own: slot i of masq_watch[0] (mmapable) belongs to masq_events<i>. `until`
 * is moved on by the listener, so nothing is left of one that was killed.
 */
#define MASQ_LISTENERS	 4
#define MASQ_EVENT_BYTES (1 << 19) /* of each ring */

struct masq_listener {
	__u32 until; /* second of CLOCK_MONOTONIC; 0: nobody listens */
	__u32 pid;
	__u64 lost; /* events that this one was not told */
};

struct masq_watch {
	struct masq_listener listener[MASQ_LISTENERS];
};
_Static_assert(sizeof(struct masq_watch) == 64, "masq_watch"); /* one line */

enum masq_event_type {
	MASQ_EV_NEW = 1,
	MASQ_EV_END,
	MASQ_EV_DROP
};

struct masq_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u8 type; /* enum masq_event_type */
	__u8 family;
	__u8 proto;
	__u8 kind; /* enum masq_kind */
	__u32 reason; /* enum masq_reason */
	__u32 prefix;
	__u32 ifindex;
	__be32 in_addr[4];
	__be32 rem_addr[4];
	__be32 xlat_addr[4];
	__be16 in_port;
	__be16 rem_port;
	__be16 xlat_port;
	__u8 state;
	__u8 direction; /* 0 egress, 1 ingress */
	struct masq_count egress; /* MASQ_EV_END */
	struct masq_count ingress;
	__u32 age; /* ticks */
	/* ticks since its last packet: it ends when it is found to have expired;
	 * 0 as well of programs that do not tell */
	__u32 idle;
};

/*
 * Requests to the program masq_ctl, run by BPF_PROG_TEST_RUN with
 * MASQ_CTL_OFFSET bytes of Ethernet header before the struct; the answer
 * comes back in the same place. It shares all code with the packet path.
 */
enum masq_ctl_op {
	MASQ_CTL_CLOCK = 1, /* fill now_ns, jiffies */
	MASQ_CTL_EXPLAIN, /* fill action ... xlat_addr for in_addr, rem_addr */
	MASQ_CTL_DELETE, /* end the flow whose owner has this key */
	MASQ_CTL_RECLAIM, /* look at `count` pages; free what has expired */
	MASQ_CTL_SEED, /* make a record as conntrack has it */
	MASQ_CTL_FIND, /* fill kind and state of the live record of this key */
	/* of a take-over; `count` is noted in masq_meta.carried in the same step */
	MASQ_CTL_COUNT, /* add `counts` to what is counted of `prefix` */
	MASQ_CTL_STAT, /* add `counts.flows` to masq_stats[prefix] */
	MASQ_CTL_INHERIT, /* take over the flow of this key: bpf/inherit.h */
};
#define MASQ_CTL_OFFSET	   14
#define MASQ_CTL_ETHERTYPE 0x88b5 /* IEEE 802 local experimental 1 */

struct masq_ctl {
	__u32 op;
	__s32 error; /* 0 or -errno */
	__u8 family; /* 4 or 6 */
	__u8 proto;
	__u8 role;
	__u8 kind; /* SEED, FIND; 0: no such record */
	__be16 in_port;
	__be16 rem_port;
	__be32 in_addr[4];
	__be32 rem_addr[4];
	/* EXPLAIN of any pod (in_addr 0): in, one whose way it is */
	__be32 xlat_addr[4];
	__be16 xlat_port;
	__u8 action; /* enum masq_action */
	__u8 state; /* SEED, FIND */
	__u32 ifindex;
	__u32 reason; /* enum masq_reason: why it would not be translated */
	__u32 prefix;
	__u32 generation;
	__u32 count;
	__u32 timeout; /* SEED: ticks left */
	__u32 device; /* EXPLAIN: that the pod is behind; 0: not known */
	__u64 now_ns; /* CLOCK_MONOTONIC */
	__u64 jiffies;
	struct masq_prefix_count counts; /* COUNT */
};
_Static_assert(sizeof(struct masq_ctl) == 152, "masq_ctl");

/*
 * Has an uplink taken over the flows that were there before it? (masq_seeded,
 * by ifindex; user/takeover/takeover.c.) Index 0: of the instance, done from its first
 * egress hook on: packets may have been translated since. Only user space
 * reads and writes this.
 */
struct masq_seeded {
	__u32 done;
	__u32 keep; /* enum seed_keep: what is to be taken over */
};

/*
 * What the agent could not do and tries again (masq_due, by enum masq_due_kind).
 * Only user space reads and writes this.
 */
enum masq_due_kind {
	MASQ_DUE_CONFIG, /* a policy to be put into force */
	MASQ_DUE_INTERFACES,
	MASQ_DUE_LISTEN, /* metrics and health over HTTP */
	MASQ_DUE_FOLLOW, /* to be told of changes of the config file */
	MASQ_DUE_NETLINK, /* to be told of changes of interfaces */
	MASQ_DUE_MAX,
};
struct masq_due {
	__u64 since_ns; /* CLOCK_MONOTONIC; 0: nothing is due */
	char text[248]; /* what, and why it is not done; ends with NUL */
};

/*
 * An attempt of `masqbpf probe` that waits for its answer (masq_attempts of
 * bpf/probe.bpf.c, which no instance has: it comes and goes with the command).
 */
#define MASQ_ATTEMPTS 64
struct masq_attempt_key {
	__u8 family; /* 4 or 6 */
	__u8 proto;
	__be16 local_port, remote_port; /* an echo: the identifier, 0 */
	__u16 pad;
	__be32 local[4], remote[4]; /* who asks, who is asked */
};
_Static_assert(sizeof(struct masq_attempt_key) == 40, "masq_attempt_key");

struct masq_attempt {
	__u64 until_ns; /* CLOCK_MONOTONIC; nobody waits any longer */
	__be32 seq; /* of the SYN; an echo: its sequence number, as a number */
	__be32 ack; /* that an answer to the SYN has */
};
_Static_assert(sizeof(struct masq_attempt) == 16, "masq_attempt");

/*
 * A BPF program on a hook of netfilter's (bpf/nfprog.bpf.c, which is no
 * instance's either).
 */
struct masq_nf_prog {
	__u32 netns; /* its inode */
	__u32 hook; /* enum nf_inet_hooks, of either family */
};
_Static_assert(sizeof(struct masq_nf_prog) == 8, "masq_nf_prog");

#endif /* MASQBPF_H */
