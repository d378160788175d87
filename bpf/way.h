/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * way.h - what the fast path (fast.h) asks and keeps: the ways through the stack
 * (masq_ways), whether a consent is in force, whether an interface has nothing
 * that a packet by the fast path would pass by. Of no family.
 */
#ifndef MASQ_WAY_H
#define MASQ_WAY_H
MASQ_INLINE bool masq_macs_equal(const __u8 *a, const __u8 *b)
{
	__u8 differ = 0;

#pragma unroll
	for (int i = 0; i < 2 * ETH_ALEN; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/* The slot of masq_ways: of 8 bits, by the last word of the pod's address. */
MASQ_INLINE __u32 masq_way_index(__be32 pod, __u32 slot)
{
	return (bpf_ntohl(pod) & (MASQ_WAY_GROUPS - 1)) << 8 | (slot & 0xff);
}

/*
 * Takes or keeps this slot for the way *want; all under the way's lock, since
 * a slot must never be given away that somebody is just being sent to.
 */
MASQ_NOINLINE int masq_way_take(__u32 index, const struct masq_way *want,
				__u32 idle)
{
	struct masq_way *way = bpf_map_lookup_elem(&masq_ways, &index);
	int ret = 0;

	if (!way || !want)
		return 0;
	bpf_spin_lock(&way->lock);
	if (way->from == want->from && way->to == want->to &&
	    way->mark == want->mark && way->priority == want->priority &&
	    way->tos == want->tos && way->ttl == want->ttl &&
	    way->size == want->size && masq_macs_equal(way->came, want->came) &&
	    masq_macs_equal(way->goes, want->goes)) {
		way->used = want->used;
		ret = 1;
	} else if (!way->from || want->used - way->used > idle) {
		way->used = want->used;
		way->from = want->from;
		way->to = want->to;
		way->mark = want->mark;
		way->priority = want->priority;
		way->tos = want->tos;
		way->ttl = want->ttl;
		way->size = want->size;
		__builtin_memcpy(way->came, want->came, 2 * ETH_ALEN);
		__builtin_memcpy(way->goes, want->goes, 2 * ETH_ALEN);
		ret = 1;
	}
	bpf_spin_unlock(&way->lock);
	return ret;
}

/*
 * The slot, 1 to 255, of the way *want of a pod with this address; 0: those
 * that it could have are in use. A slot that nobody's consent has named for two
 * seconds is given away, so the consent of a second never points to another's.
 */
MASQ_NOINLINE __u32 masq_way_slot(__be32 pod, const struct masq_way *want,
				  const struct masq_policy *pol)
{
	__u32 start, idle;

	if (!want || !pol)
		return 0;
	idle = masq_two_seconds(pol);
	start = want->from * 7 ^ want->to * 31 ^ want->ttl * 5 ^ want->tos ^
		want->mark ^ want->came[5] ^ want->goes[5] * 3 ^ want->goes[4] ^
		want->size * 11;
#pragma unroll
	for (__u32 i = 0; i < MASQ_WAY_PROBES; i++) {
		__u32 slot = (start + i) & 0xff;

		if (slot &&
		    masq_way_take(masq_way_index(pod, slot), want, idle))
			return slot;
	}
	return 0;
}

/* The note of the packet with this number (skb->tc_index), or another's. */
MASQ_INLINE struct masq_note *masq_note_of(__u32 number,
					   const enum masq_dir dir)
{
	__u32 place = dir * MASQ_NOTES + (number & (MASQ_NOTES - 1));

	return bpf_map_lookup_elem(&masq_notes, &place);
}

/* Is the consent in force? It ends at the tick whose low byte it has. */
MASQ_INLINE bool masq_consent(__u16 fast, __u32 last_seen, __u32 now)
{
	__u8 left = MASQ_FAST_UNTIL(fast) - now;

	return fast && now - last_seen < MASQ_FAST_MAX && left &&
	       left <= MASQ_FAST_MAX;
}

/* Has user space, within the lease, found nothing against this interface? */
MASQ_NOINLINE int masq_allowed(__u32 ifindex, __u32 flag, __u32 now)
{
	__u32 node = 0;
	struct masq_fast *f = bpf_map_lookup_elem(&masq_fast, &node);

	if (!f || !(f->flags & MASQ_FAST_NODE) ||
	    (!(f->flags & MASQ_FAST_LASTS) && masq_passed(now, f->until)))
		return 0;
	f = bpf_map_lookup_elem(&masq_fast, &ifindex);
	return f && f->flags & flag;
}

MASQ_INLINE __u64 masq_peek(__u64 at, __u32 offset)
{
	__u64 value = 0;

	/* what cannot be read is not nothing */
	if (bpf_probe_read_kernel(&value, sizeof(value), (void *)(at + offset)))
		return -1;
	return value;
}

/*
 * Filters of clsact in a direction: 0, 1, or 2 for more. A priority has a list of
 * its own, and the first of them may have more than one.
 */
MASQ_INLINE __u32 masq_filters(__u64 miniq)
{
	__u64 first = miniq ? masq_peek(miniq, masq_offsets.miniq_filters) : 0;
	__u64 list, next;

	if (!first)
		return 0;
	if (masq_peek(first, masq_offsets.filters_next))
		return 2;
	if (!masq_offsets.filters_root)
		return 1;
	list = masq_peek(first, masq_offsets.filters_root);
	next = masq_peek(list, masq_offsets.bpf_list);
	return next + 1 && next == masq_peek(list, masq_offsets.bpf_list + 8)
		       ? 1
		       : 2;
}

/* One program or filter at most is there: ours, since it runs. */
MASQ_INLINE bool masq_alone(__u64 dev, const int dir)
{
	__u64 at, miniq;
	__u32 count = 0;

	if (masq_offsets.dev_tcx[dir]) {
		at = masq_peek(dev, masq_offsets.dev_tcx[dir]);
		if (!at)
			return true;
		at = masq_peek(at, masq_offsets.entry_bundle);
		count = masq_peek(at, masq_offsets.bundle_count);
		miniq = masq_peek(at - masq_offsets.bundle_tcx,
				  masq_offsets.tcx_miniq);
	} else {
		miniq = masq_peek(dev, masq_offsets.dev_miniq[dir]);
	}
	return count <= 1 && count + masq_filters(miniq) <= 1;
}

/*
 * The interface that the packet is at: no program beside ours and no filter of
 * clsact in either direction, no hook of netfilter's own, and (a pod's) no
 * queue. Where the kernel does not tell, user space has looked.
 */
MASQ_NOINLINE int masq_plain(struct __sk_buff *skb, __u32 queue)
{
	__u64 dev, at;

	if (!masq_offsets.skb_dev)
		return 1;
	/* the context is the sk_buff; its fields are read by helper alone */
	if (bpf_probe_read_kernel(&dev, sizeof(dev),
				  (void *)skb + masq_offsets.skb_dev))
		return 0;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (masq_offsets.dev_nf[i] &&
		    (queue || !i) && /* an uplink's egress is still met */
		    masq_peek(dev, masq_offsets.dev_nf[i]))
			return 0;
		if (!masq_alone(dev, i))
			return 0;
	}
	if (!queue)
		return 1;
	at = masq_peek(dev, masq_offsets.dev_qdisc);
	return at && !masq_peek(at, masq_offsets.qdisc_enqueue);
}

#define MASQ_NFCT_PTR	 (~7ULL) /* NFCT_PTRMASK, include/linux/skbuff.h */
#define MASQ_CT_SEEN	 0 /* IP_CT_ESTABLISHED, of the original direction */
#define MASQ_CT_ANSWERED 3 /* IP_CT_ESTABLISHED_REPLY */
#define MASQ_CT_LIBERAL	 0x08 /* IP_CT_TCP_FLAG_BE_LIBERAL */

/*
 * Is the packet, behind the stack, one of a connection that conntrack calls
 * established, where rules go by that? What it does not track or calls INVALID
 * is none, nor are first packets.
 */
MASQ_NOINLINE int masq_tracked(struct __sk_buff *skb)
{
	__u32 node = 0;
	struct masq_fast *f = bpf_map_lookup_elem(&masq_fast, &node);
	__u64 at;

	if (!f || !(f->flags & MASQ_FAST_TRACKED))
		return f != NULL;
	if (!masq_offsets.skb_nfct ||
	    bpf_probe_read_kernel(&at, sizeof(at),
				  (void *)skb + masq_offsets.skb_nfct))
		return 0;
	return at & MASQ_NFCT_PTR &&
	       ((at & ~MASQ_NFCT_PTR) == MASQ_CT_SEEN ||
		(at & ~MASQ_NFCT_PTR) == MASQ_CT_ANSWERED);
}

/*
 * Has conntrack, whose entry this TCP packet carries behind the stack, been told
 * to be liberal with it, in both directions?
 */
MASQ_NOINLINE int masq_liberal(struct __sk_buff *skb)
{
	__u8 flags[2] = {};
	__u64 at;

	if (!masq_offsets.ct_flags ||
	    bpf_probe_read_kernel(&at, sizeof(at),
				  (void *)skb + masq_offsets.skb_nfct))
		return 0;
	at &= MASQ_NFCT_PTR;
	if (!at) /* it does not track this one */
		return 1;
	at += masq_offsets.ct_flags;
	if (bpf_probe_read_kernel(&flags[0], 1, (void *)at) ||
	    bpf_probe_read_kernel(&flags[1], 1,
				  (void *)(at + masq_offsets.ct_direction)))
		return 0;
	return flags[0] & flags[1] & MASQ_CT_LIBERAL;
}

/* Conntrack is strict with all of TCP: may a connection ask for itself? */
MASQ_NOINLINE int masq_may_ask(void)
{
	__u32 asked = MASQ_FAST_ASKED;

	return masq_offsets.ct_flags && bpf_map_lookup_elem(&masq_fast, &asked);
}

/* It does, now. */
MASQ_NOINLINE int masq_ask(__u32 now)
{
	__u32 key = MASQ_FAST_ASKED;
	struct masq_fast *asked = bpf_map_lookup_elem(&masq_fast, &key);

	if (asked && asked->until != now)
		asked->until = now;
	return 0;
}

MASQ_INLINE void masq_skipped(__u32 index)
{
	__u64 *count = bpf_map_lookup_elem(&masq_skips, &index);

	if (count)
		++*count; /* per CPU, softirqs off */
}

MASQ_INLINE __u32 masq_fast_until(const struct masq_policy *pol, __u32 now)
{
	return now + (pol->fast < MASQ_FAST_MAX ? pol->fast : MASQ_FAST_MAX);
}
#endif
