/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fast.h - the fast path (--fast-path): established, translated flows skip the
 * node's stack, from the pod's veth straight out of the uplink and back into
 * the pod. Included once per family by family.h. docs/fastpath.md lists in
 * what such a packet may differ from one that takes the stack.
 *
 * Nothing is assumed of what the stack would do: it is asked. A packet that
 * takes the stack is noted down before it (masq_notes), and recognised by the
 * number that it carries through it (skb->tc_index). When it comes out at the
 * other end unchanged but for what routing changes, the flow has the stack's
 * consent for one second: `fast` in its record, which names a way (masq_ways).
 * The way says what a packet has to be to go it: which interface it comes in
 * by, which Ethernet addresses, TOS and TTL it has, no tag, no more bytes than
 * went through; and what it is when it leaves: by which interface, to whom,
 * with which mark and priority. After that second the next packet goes through
 * the stack again. So conntrack stays alive, and a route, neighbour or firewall
 * rule that changes counts within a second: a packet that the stack drops
 * renews nothing.
 *
 * Conntrack that is strict would drop what it sees of such a TCP flow later. It
 * can be told to be liberal with all of them (MASQ_P_FAST_TCP), or with one: a
 * flow that nothing else stands against asks for that (MASQ_FAST_ASKED), and
 * has consent when the entry that its packet carries says so.
 *
 * Both hooks must find the flow under one key, so whatever netfilter itself
 * translates (a ClusterIP) never qualifies. SYN, FIN, RST, fragments, options,
 * ICMP errors, an expiring TTL and packets above the MTU always take the
 * stack.
 *
 * Consent is given only where nothing is between the hooks and the ends of the
 * way that would treat two packets of a flow differently: user space says so
 * of the node and of each interface (masq_fast), and the packet that asks looks
 * itself at what hangs on the interface that it is at (masq_plain).
 */

#include "way.h"

/*
 * Gives a record the stack's consent: only as long as the slot is still that
 * flow's, since another one would go this one's way.
 */
MASQ_GLOBAL int FN(fast_grant)(__u32 slot, __u32 seq, __u32 fast)
{
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	FLOW *f = FN(slot)(slot);

	if (!f || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (f->seq == (__u16)seq && f->what & MASQ_W_LIVE)
		f->fast = fast;
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/* What routing looks at beside the addresses; ECN is for queues. */
MASQ_INLINE void FN(fast_header)(const void *l3, __u8 *tos, __u8 *ttl)
{
#if FAM == 4
	const struct iphdr *ip = l3;

	*tos = ip->tos & 0xfc;
	*ttl = ip->ttl;
#else
	const __u8 *ip = l3;

	*tos = (ip[0] << 4 | ip[1] >> 4) & 0xfc;
	*ttl = ip[7];
#endif
}

/* L3 bytes of the packet, or of each that a GSO packet becomes. */
MASQ_INLINE __u32 FN(fast_size)(struct __sk_buff *skb, const PKT *pkt)
{
	return skb->gso_size ? skb->gso_size + pkt->hdr_len : pkt->l3_len;
}

/* Of a packet that has gone through: those up to here would have, too. */
MASQ_INLINE __u16 FN(fast_class)(struct __sk_buff *skb, const PKT *pkt)
{
	const __u32 least = FAM == 4 ? MASQ_WAY_LEAST4 : MASQ_WAY_LEAST6;
	__u32 size = FN(fast_size)(skb, pkt);

	return size < least ? least : size > 0xffff ? 0xffff : size;
}

/*
 * What the stack looks at in every packet by itself: the header's checksum, and
 * (conntrack, whose rules drop what is INVALID) that the packet has all of what
 * its headers say. *l3 is there up to the ports' header.
 */
MASQ_INLINE bool FN(fast_sound)(const PKT *pkt, const void *l3)
{
	const struct udphdr *udp = l3 + L3_HLEN;
#if FAM == 4
	const __u32 *word = l3;

	if (masq_csum_fold((__u64)word[0] + word[1] + word[2] + word[3] +
			   word[4]))
		return false;
#endif
	if (pkt->proto == IPPROTO_TCP)
		return pkt->hdr_len <= pkt->l3_len;
	return bpf_ntohs(udp->len) <= pkt->l3_len - L3_HLEN;
}

/*
 * Given by whoever sends it, and the same to nobody behind the stack: a mark,
 * and the priority where the stack does not set its own (ip_forward does).
 */
MASQ_INLINE bool FN(fast_marked)(struct __sk_buff *skb)
{
	return skb->mark || (FAM == 6 && skb->priority);
}

/* Would conntrack take TCP that it does not see for out of window? */
MASQ_INLINE bool FN(fast_strict)(const PKT *pkt, const struct masq_policy *pol)
{
	return pkt->proto == IPPROTO_TCP && !(pol->flags & MASQ_P_FAST_TCP);
}

/* Once in a while: conntrack may have been told to be liberal with it since. */
MASQ_INLINE bool FN(fast_may_ask)(const VIEW *v, __u32 now)
{
	if (v->fast && !MASQ_FAST_SLOT(v->fast) &&
	    masq_consent(v->fast, v->last_seen, now))
		return false;
	return masq_may_ask();
}

/*
 * Before the stack: notes down a packet that could have the fast path if an
 * equal one had just gone the whole way.
 */
MASQ_NOINLINE int FN(fast_note)(struct __sk_buff *skb, const PKT *pkt,
				const VIEW *v, const enum masq_dir dir)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 now = masq_now(), number;
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct masq_note *note;

	/* of ICMP the kind is no part of the key: rules tell them apart */
	if (!pol || FN(fast_marked)(skb) ||
	    (pkt->proto != IPPROTO_TCP && pkt->proto != IPPROTO_UDP) ||
	    masq_flow_state(pkt->proto, v->out_seen, v->in_seen) !=
		    MASQ_ST_ESTABLISHED ||
	    (FN(fast_strict)(pkt, pol) && !FN(fast_may_ask)(v, now)) ||
	    !FN(is_routine)(pkt, v, dir) ||
	    !masq_allowed(skb->ifindex,
			  dir == MASQ_EGRESS ? MASQ_FAST_POD : MASQ_FAST_UPLINK,
			  now) ||
	    !masq_plain(skb, dir == MASQ_EGRESS))
		return 0;
	number = bpf_get_prandom_u32() & 0xffff;
	if (!number)
		number = 1;
	note = masq_note_of(number, dir);
	if (!note || data + ETH_HLEN + L3_HLEN > end)
		return 0;
	note->number = number;
	note->tick = now;
	note->slot = v->slot;
	note->seq = v->seq;
	note->from = skb->ifindex;
	note->length = pkt->l3_len;
	note->tcp_seq = pkt->tcp_seq;
	note->tcp_ack = pkt->tcp_ack;
	__builtin_memcpy(note->came, data, 2 * ETH_ALEN);
	FN(addr_copy)(note->pod, v->xlat_addr);
	note->pod_port = v->xlat_port;
	FN(fast_header)(data + ETH_HLEN, &note->tos, &note->ttl);
	skb->tc_index = number;
	return 0;
}

/*
 * Behind the stack: is this the packet of the note, come straight through, and
 * what it was? Fills what a way has of the packet.
 */
MASQ_NOINLINE int FN(fast_same)(struct __sk_buff *skb, const PKT *pkt,
				struct masq_note *note, struct masq_way *way,
				__u32 now)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (!note || !way || data + ETH_HLEN + L3_HLEN > end)
		return 0;
	/* packets come in by lists: another one's note is left for it */
	if (!skb->tc_index || skb->tc_index != note->number)
		return 0;
	note->number = 0;
	FN(fast_header)(data + ETH_HLEN, &way->tos, &way->ttl);
	/* one that has rested on its way says what was, not what is */
	if (now - note->tick > 1 || skb->vlan_present || !pkt->simple ||
	    pkt->l3_off != ETH_HLEN || note->length != pkt->l3_len ||
	    note->tcp_seq != pkt->tcp_seq || note->tcp_ack != pkt->tcp_ack ||
	    note->tos != way->tos || note->ttl != (__u8)(way->ttl + 1))
		return 0;
	way->ttl = note->ttl;
	way->size = FN(fast_class)(skb, pkt);
	way->from = note->from;
	way->to = skb->ifindex;
	way->mark = skb->mark;
	__builtin_memcpy(way->goes, data, 2 * ETH_ALEN);
	return 1;
}

/* Uplink egress: the stack has sent this packet of *v on its way. */
MASQ_NOINLINE int FN(fast_consent_out)(struct __sk_buff *skb, const VIEW *v,
				       const PKT *pkt, __u32 now)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	struct masq_way way;
	struct masq_note *note;
	__u32 slot, fast;

	note = masq_note_of(skb->tc_index, MASQ_EGRESS);
	if (!pol || !note)
		return 0;
	__builtin_memset(&way, 0, sizeof(way));
	if (!FN(fast_same)(skb, pkt, note, &way, now) ||
	    note->slot != v->slot || note->seq != v->seq ||
	    !masq_allowed(skb->ingress_ifindex,
			  MASQ_FAST_POD | MASQ_FAST_BETWEEN, now) ||
	    !masq_allowed(skb->ifindex, MASQ_FAST_UPLINK, now) ||
	    !masq_plain(skb, 0) || !masq_tracked(skb))
		return 0;
	way.used = now;
	way.priority = skb->priority;
	__builtin_memcpy(way.came, note->came, 2 * ETH_ALEN);
	if (FN(fast_strict)(pkt, pol) && !masq_liberal(skb)) {
		MASQ_DO(masq_ask(now));
		slot = 0;
	} else {
		slot = masq_way_slot(pkt->key.in_addr[WORDS - 1], &way, pol);
		if (!slot)
			return 0;
	}
	fast = MASQ_FAST(slot, masq_fast_until(pol, now));
	if (v->fast != fast)
		MASQ_DO(FN(fast_grant)(v->slot, v->seq, fast));
	return 0;
}

/* Egress of the pod's veth: the stack has let an answer through to the pod. */
MASQ_NOINLINE int FN(fast_seen)(struct __sk_buff *skb)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 now = masq_now(), slot;
	struct masq_note *note;
	struct masq_way way;
	bool strict;
	PKT pkt;

	note = masq_note_of(skb->tc_index, MASQ_INGRESS);
	__builtin_memset(&pkt, 0, sizeof(pkt));
	__builtin_memset(&way, 0, sizeof(way));
	if (!pol || !note ||
	    !FN(parse_simple)(skb, &pkt, ETH_HLEN, MASQ_INGRESS) ||
	    !FN(fast_same)(skb, &pkt, note, &way, now) ||
	    !FN(addr_equal)(note->pod, pkt.key.in_addr) ||
	    note->pod_port != pkt.key.in_port ||
	    (skb->ingress_ifindex != note->from &&
	     !masq_allowed(skb->ingress_ifindex, MASQ_FAST_BETWEEN, now)) ||
	    !masq_allowed(skb->ifindex, MASQ_FAST_POD, now) ||
	    !masq_plain(skb, 1) || !masq_tracked(skb))
		return 0;
	way.used = now;
	strict = FN(fast_strict)(&pkt, pol) && !masq_liberal(skb);
	slot = strict ? 0
		      : masq_way_slot(pkt.key.in_addr[WORDS - 1], &way, pol);
	if (slot || strict)
		MASQ_DO(FN(fast_grant)(note->slot, note->seq,
				       MASQ_FAST(slot,
						 masq_fast_until(pol, now))));
	return 0;
}

/* RFC 1812 section 5.3.1. False: it would expire here. */
MASQ_INLINE bool FN(fast_ttl)(struct __sk_buff *skb, void *l3)
{
#if FAM == 4
	struct iphdr *ip = l3;
	__u32 check;

	if (ip->ttl <= 1)
		return false;
	ip->ttl--;
	/* RFC 1141: the TTL is the high byte of its word */
	check = (__u32)ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(check + (check >= 0xffff));
#else
	struct ipv6hdr *ip = l3;
	__be32 *word = l3 + 4, old = *word, new;

	if (ip->hop_limit <= 1)
		return false;
	ip->hop_limit--;
	new = *word;
	/* no header checksum balances it under CHECKSUM_COMPLETE */
	bpf_csum_update(skb, bpf_csum_diff(&old, 4, &new, 4, 0));
#endif
	return true;
}

/*
 * Bytes behind what IP calls the packet (a short frame's padding, or more that
 * a pod has put there): the stack cuts them off. Pointers into the packet are
 * to be read anew. False: the packet takes the stack.
 */
MASQ_INLINE bool FN(fast_trim)(struct __sk_buff *skb, const PKT *pkt)
{
	if (likely(skb->len == ETH_HLEN + pkt->l3_len))
		return true;
	return !skb->gso_size &&
	       !bpf_skb_change_tail(skb, ETH_HLEN + pkt->l3_len, 0);
}

/* The way that the record's consent names, if this packet may go it. */
MASQ_INLINE struct masq_way *FN(fast_way)(struct __sk_buff *skb, const PKT *pkt,
					  const VIEW *v, __be32 pod, __u32 now,
					  const enum masq_dir dir)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct masq_way *way;
	__u32 index;
	__u8 tos, ttl;

	if (!v->fast)
		return NULL;
	if (!masq_consent(v->fast, v->last_seen, now)) {
		v->at->fast = 0; /* its low byte would come round again */
		return NULL;
	}
	index = masq_way_index(pod, MASQ_FAST_SLOT(v->fast));
	way = bpf_map_lookup_elem(&masq_ways, &index);
	if (!way || way->from != skb->ifindex || FN(fast_marked)(skb) ||
	    data + ETH_HLEN + L3_HLEN + sizeof(struct udphdr) > end)
		return NULL;
	FN(fast_header)(data + ETH_HLEN, &tos, &ttl);
	if (tos != way->tos || ttl != way->ttl ||
	    (dir == MASQ_EGRESS && !masq_macs_equal(data, way->came)) ||
	    !FN(fast_sound)(pkt, data + ETH_HLEN) ||
	    !FN(is_routine)(pkt, v, dir) || FN(fast_size)(skb, pkt) > way->size)
		return NULL;
	return way;
}

/*
 * Ingress of the pod's veth: a packet from the pod. The ifindex to redirect it
 * to, 0 to let it take the stack, negative to drop it.
 */
MASQ_INLINE int FN(fast_out)(struct __sk_buff *skb)
{
	__u32 now = masq_now(), to;
	struct masq_way *way;
	void *data, *end;
	PKT p, *pkt = &p;
	VIEW v;

	__builtin_memset(pkt, 0, sizeof(*pkt));
	if (!FN(parse_simple)(skb, pkt, ETH_HLEN, MASQ_EGRESS))
		return 0;
	if (!FN(see)(&pkt->key, &v) || v.kind != MASQ_K_FWD ||
	    !FN(live)(&v, now))
		return 0;
	if ((v.last_seen ^ now) >> MASQ_ADDRESS_SHIFT)
		way = NULL; /* E1 is due */
	else
		way = FN(fast_way)(skb, pkt, &v, pkt->key.in_addr[WORDS - 1],
				   now, MASQ_EGRESS);
	if (!way) {
		MASQ_DO(FN(fast_note)(skb, pkt, &v, MASQ_EGRESS));
		return 0;
	}
	if (!FN(fast_trim)(skb, pkt))
		return 0;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + ETH_HLEN + L3_HLEN > end ||
	    !FN(fast_ttl)(skb, data + ETH_HLEN))
		return 0;
	__builtin_memcpy(data, way->goes, 2 * ETH_ALEN);
	skb->mark = way->mark;
	skb->priority = way->priority;
	to = way->to;
	if (v.last_seen != now)
		MASQ_DO(FN(flow_touch)(&pkt->key, &v, now, MASQ_EGRESS));
	FN(flow_count)(skb, pkt, &v, MASQ_EGRESS);
	v.at->pod_ack = pkt->tcp_ack;
	if (FN(rewrite)(skb, pkt, v.xlat_addr, v.xlat_port, ETH_HLEN,
			MASQ_EGRESS))
		return -1;
	masq_skipped(MASQ_SKIP_OUT);
	return to;
}

/*
 * Uplink ingress, a translated reply of *rev that the stack would now route:
 * the interface whose peer is the pod's own, or 0.
 */
MASQ_INLINE __u32 FN(fast_in)(struct __sk_buff *skb, const PKT *pkt,
			      const VIEW *rev, __u32 now, const __u32 l2_len)
{
	void *data, *end;
	struct masq_way *way;

	/* with a tag it belongs to a VLAN's device; not ours: the stack drops */
	if (!l2_len || !pkt->simple || skb->vlan_present || skb->pkt_type)
		return 0;
	way = FN(fast_way)(skb, pkt, rev, rev->xlat_addr[WORDS - 1], now,
			   MASQ_INGRESS);
	if (!way) {
		MASQ_DO(FN(fast_note)(skb, pkt, rev, MASQ_INGRESS));
		return 0;
	}
	if (!FN(fast_trim)(skb, pkt))
		return 0;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + ETH_HLEN + L3_HLEN > end ||
	    !FN(fast_ttl)(skb, data + ETH_HLEN))
		return 0;
	__builtin_memcpy(data, way->goes, 2 * ETH_ALEN);
	masq_skipped(MASQ_SKIP_IN);
	return way->to;
}
