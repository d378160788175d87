/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h - every map of the dataplane. Sizes that depend on the node are set
 * by user space before loading. No LRU map holds NAT state: the kernel would
 * evict one half of a live pair.
 */
#ifndef MASQ_MAPS_H
#define MASQ_MAPS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "masqbpf.h"

#define MASQ_MAP(name, map_type, key_type, value_type, entries, map_flags_) \
	struct {                                                            \
		__uint(type, map_type);                                     \
		__type(key, key_type);                                      \
		__type(value, value_type);                                  \
		__uint(max_entries, entries);                               \
		__uint(map_flags, map_flags_);                              \
	} name SEC(".maps")

/* --- who we are ------------------------------------------------------- */
MASQ_MAP(masq_meta, BPF_MAP_TYPE_ARRAY, __u32, struct masq_meta, 1, 0);

/* --- policy, see struct masq_policy ----------------------------------- */
MASQ_MAP(masq_active, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1, 0);
MASQ_MAP(masq_policy, BPF_MAP_TYPE_ARRAY, __u32, struct masq_policy, 2, 0);
MASQ_MAP(masq_ports, BPF_MAP_TYPE_ARRAY, __u32, __u64, 2 * MASQ_PORT_WORDS, 0);
MASQ_MAP(masq_trie_a, BPF_MAP_TYPE_LPM_TRIE, struct masq_lpm_key,
	 struct masq_lpm_value, 1 << 20, BPF_F_NO_PREALLOC);
MASQ_MAP(masq_trie_b, BPF_MAP_TYPE_LPM_TRIE, struct masq_lpm_key,
	 struct masq_lpm_value, 1 << 20, BPF_F_NO_PREALLOC);
MASQ_MAP(masq_snat, BPF_MAP_TYPE_ARRAY, __u32, struct masq_addr, MASQ_MAX_SNAT,
	 0);
MASQ_MAP(masq_prefixes, BPF_MAP_TYPE_ARRAY, __u32, struct masq_prefix,
	 MASQ_MIN_PREFIX_SLOTS, BPF_F_MMAPABLE);

MASQ_MAP(masq_history, BPF_MAP_TYPE_HASH, struct masq_history_key,
	 struct masq_history_chunk, MASQ_HISTORY_CHUNKS, BPF_F_NO_PREALLOC);

/* --- counters --------------------------------------------------------- */
MASQ_MAP(masq_counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32,
	 struct masq_prefix_count, MASQ_MIN_PREFIX_SLOTS, 0);
MASQ_MAP(masq_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, MASQ_S_MAX, 0);
MASQ_MAP(masq_usage, BPF_MAP_TYPE_ARRAY, __u32, struct masq_usage, 1, 0);
/* LRU: an address that has been quiet for longest makes room for a new one */
MASQ_MAP(masq_pods, BPF_MAP_TYPE_LRU_HASH, struct masq_addr,
	 struct masq_pod_usage, MASQ_MAX_PODS, 0);

/* --- the node --------------------------------------------------------- */
MASQ_MAP(masq_ifaces, BPF_MAP_TYPE_HASH, __u32, struct masq_iface,
	 MASQ_MAX_IFACES, 0);
MASQ_MAP(masq_local, BPF_MAP_TYPE_HASH, struct masq_addr, __u32, 65536,
	 BPF_F_NO_PREALLOC);
/* what is local without being an address of an interface: set is the family */
MASQ_MAP(masq_nets, BPF_MAP_TYPE_LPM_TRIE, struct masq_lpm_key, __u32, 1024,
	 BPF_F_NO_PREALLOC);

MASQ_MAP(masq_uplinks, BPF_MAP_TYPE_ARRAY, __u32, struct masq_uplink,
	 MASQ_MAX_UPLINKS, 0);

/* --- notes of the control program, which no packet looks at ------------ */
MASQ_MAP(masq_seeded, BPF_MAP_TYPE_HASH, __u32, struct masq_seeded,
	 MASQ_MAX_IFACES + 1, 0);
MASQ_MAP(masq_due, BPF_MAP_TYPE_ARRAY, __u32, struct masq_due, MASQ_DUE_MAX, 0);

/* --- flows, see table.h ------------------------------------------------- */
/* user space reads these by mmap, and makes them as large as maxFlows asks */
MASQ_MAP(masq_flows4, BPF_MAP_TYPE_ARRAY, __u32, struct masq_page4, 3,
	 BPF_F_MMAPABLE);
MASQ_MAP(masq_flows6, BPF_MAP_TYPE_ARRAY, __u32, struct masq_page6, 3,
	 BPF_F_MMAPABLE);
MASQ_MAP(masq_aside4, BPF_MAP_TYPE_ARRAY, __u32, struct masq_aside_page, 3,
	 BPF_F_MMAPABLE);
MASQ_MAP(masq_aside6, BPF_MAP_TYPE_ARRAY, __u32, struct masq_aside_page, 3,
	 BPF_F_MMAPABLE);
/* not mmapable: no map with a lock is */
MASQ_MAP(masq_locks, BPF_MAP_TYPE_ARRAY, __u32, struct masq_lock, MASQ_LOCKS,
	 0);
MASQ_MAP(masq_next_hops, BPF_MAP_TYPE_ARRAY, __u32, struct masq_next_hop,
	 MASQ_MAX_NEXT_HOPS, 0);

/* --- the fast path, see fast.h ------------------------------------------ */
MASQ_MAP(masq_fast, BPF_MAP_TYPE_HASH, __u32, struct masq_fast, MASQ_MAX_FAST,
	 BPF_F_NO_PREALLOC);
MASQ_MAP(masq_skips, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, MASQ_SKIP_MAX, 0);

MASQ_MAP(masq_ways, BPF_MAP_TYPE_ARRAY, __u32, struct masq_way, MASQ_WAYS, 0);

/*
 * What a packet was before the stack, for the hook behind it. Both run in one
 * softirq on one processor, but packets go through the stack by lists: all of a
 * list come by the first hook before one comes by the second. So there is a
 * place for each of a list's, by its number in skb->tc_index, which also tells
 * that the note is another's by now: where two of a list had one place, or a
 * packet rests in between (NFQUEUE, a neighbour that is being asked for).
 */
#define MASQ_NOTES 64 /* a direction: what a driver delivers at once */
struct masq_note {
	__u32 number; /* 1..65535; 0: none */
	__u32 tick; /* when */
	__u32 slot; /* of the record, and its seq */
	__u32 seq;
	__u32 from; /* ifindex */
	__u32 length; /* L3 */
	__u32 tcp_seq;
	__u32 tcp_ack;
	__be32 pod[4]; /* after the translation (answers) */
	__be16 pod_port;
	__u8 came[2 * ETH_ALEN];
	__u8 tos;
	__u8 ttl;
};
MASQ_MAP(masq_notes, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct masq_note,
	 2 * MASQ_NOTES, 0);

/* --- fragments: no NAT state, so these may be LRU ---------------------- */
MASQ_MAP(masq_frags, BPF_MAP_TYPE_LRU_HASH, struct masq_frag_key,
	 struct masq_frag, MASQ_FRAG_NOTES, 0);
/* apart from the notes: what never completes pushes none of those out */
MASQ_MAP(masq_awaited, BPF_MAP_TYPE_LRU_HASH, struct masq_frag_key,
	 struct masq_awaited, MASQ_HELD_MAX, 0);
MASQ_MAP(masq_held, BPF_MAP_TYPE_LRU_HASH, struct masq_held_key,
	 struct masq_held, MASQ_HELD_MAX, 0);
/* room for two packets: an early one, and a first one while others go out */
MASQ_MAP(masq_copies, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct masq_held, 2, 0);

/* What a pod has been given of several source addresses; see from_pool. */
#define MASQ_PAIRS 4 /* from the pools of several destinations */
struct masq_paired {
	struct masq_addr with[MASQ_PAIRS];
	__u32 next; /* to be written over */
	__u32 pad;
};
MASQ_MAP(masq_pairs, BPF_MAP_TYPE_LRU_HASH, struct masq_addr,
	 struct masq_paired, 4096, 0);

/* Destinations whose ports are nearly all taken; see masq_crowd_probes. */
struct masq_crowd_key {
	__be32 node[4];
	__be32 rem[4];
	__be16 rem_port;
	__u8 proto;
	__u8 family;
};
struct masq_crowd {
	__u32 expires; /* tick */
	__u32 failed; /* searches in a row */
};
MASQ_MAP(masq_crowds, BPF_MAP_TYPE_LRU_HASH, struct masq_crowd_key,
	 struct masq_crowd, 1024, 0);

struct masq_bucket {
	__u32 tick;
	__u32 tokens;
};
MASQ_MAP(masq_refusals, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct masq_bucket, 1,
	 0);

/* --- events ----------------------------------------------------------- */
#define MASQ_EVENTS(name)                              \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_RINGBUF);    \
		__uint(max_entries, MASQ_EVENT_BYTES); \
	} name SEC(".maps")
MASQ_EVENTS(masq_events0);
MASQ_EVENTS(masq_events1);
MASQ_EVENTS(masq_events2);
MASQ_EVENTS(masq_events3);
MASQ_MAP(masq_watch, BPF_MAP_TYPE_ARRAY, __u32, struct masq_watch, 1,
	 BPF_F_MMAPABLE);

/*
 * An event before each listener gets its copy. A packet that interrupts
 * masq_ctl (old kernels let it) finds it busy, and its event is lost.
 */
struct masq_event_draft {
	__u64 busy;
	struct masq_event event;
};
MASQ_MAP(masq_event_draft, BPF_MAP_TYPE_PERCPU_ARRAY, __u32,
	 struct masq_event_draft, 1, 0);

/*
 * Scratch space for making records: too much for the 512 bytes of stack, and
 * the way in which global functions (verified once, not once per call) share
 * state. Slot 0 belongs to the packet path (softirqs off: no other user on
 * this CPU), slot 1 to masq_ctl, which packets may interrupt on old kernels.
 */
/* What else is told of a flow that is taken over. */
struct masq_heir {
	struct masq_tally tally; /* egress */
	struct masq_tally back; /* ingress */
	__u32 rev_last_seen; /* tick */
};

struct masq_scratch {
	/* the record to make: what the packet and the policy say */
	struct masq_key6 owner; /* key of the flow */
	__u32 now;
	__u32 half; /* of the policy */
	__u32 prefix;
	__u32 snat;
	/* where a packet goes other than on: interfaces, 0 for none */
	__u32 redirect; /* into the pod behind it (fast path) */
	__u32 ifindex; /* that the packet goes out by or comes in by */
	__u32 pod_ifindex; /* that it came from */
	__u8 kind; /* enum masq_kind */
	__u8 class; /* enum masq_class */
	__u8 seen; /* MASQ_SEEN_* of the packet */
	__u8 pad1;
	__be32 node[4]; /* to translate to, when the FIB has told; or 0 */
	/* a packet that is not simple */
	__u64 pkt[16];
	__u64 quote[8]; /* what an ICMP error quotes */
	struct masq_frag_key frag; /* of a first fragment */
	__u64 met[6]; /* the record that a packet has met */
	/* made on the way */
	struct masq_flow6 flow; /* record to make */
	struct masq_aside aside;
	struct masq_key6 rev; /* key of its REV record, the port being tried */
	struct masq_key6 hint; /* of an EIM record */
	__u32 owner_slot;
	__u32 rev_slot;
	/* what a packet without a record will touch, see fetch_pair() */
	__be32 ahead[4]; /* address that the flow before was translated to */
	__u32 expected; /* family of the packet's flow, if it will have one */
	__u32 fetched; /* all of it is on its way */
	/* port search */
	struct masq_crowd_key crowd;
	__u32 min;
	__u32 size;
	__u32 at; /* offset of the next probe */
	__u32 stride; /* coprime to size: no port is probed twice */
	__u32 probes;
	__u32 resting; /* the closed port met that rested longest, + 1 */
	__u32 rested; /* how long; ticks */
	__u32 waiting; /* the same of the ports whose flow nobody answered */
	__u32 waited;
	__u32 holder; /* slot of the record that has to end first, or MASQ_NO_SLOT */
	__u32 holder_seq;
	__u32 holder_kind;
	__u32 moved; /* the port is not the pod's own */
	__s32 result;
	/* looking for room */
	__u32 budget; /* enum masq_budget that it is looked for in */
	__u32 of_pod; /* of the flow's pod alone */
	__u32 pressure; /* live flows may go */
	__u32 freed;
	__u32 ended; /* wanted or not */
	__u32 soonest; /* of a label that is being made */
	__u32 flagged;
	__u64 pods;
	__u64 used; /* of the page that is open */
	__u32 records; /* that were read */
	__u32 at_page;
	__u32 labels; /* that may still be passed by */
	__u32 page; /* that is worth opening */
	__u32 full; /* enum masq_record that has no place */
	__u32 idle; /* ticks, of the flow that rank() was asked about */
	__u32 best_rank; /* enum masq_rank */
	__u32 best_idle; /* ticks */
	__u32 best_page;
	struct masq_heir heir;
	struct masq_paired paired;
	__u64 pod_bit;
	struct masq_addr pod; /* key in masq_pods */
	struct masq_ctl ctl; /* slot 1: the request */
};
MASQ_MAP(masq_scratch, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct masq_scratch, 2,
	 0);

#endif
