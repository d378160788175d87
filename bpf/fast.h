/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fast.h - the fast path (attach --fast-path): established, translated flows
 * skip the node's stack, from the pod's veth straight out of the uplink and
 * back into the pod. Included once per family by family.h.
 *
 * Nothing is assumed of what the stack would do: it is asked. A packet that
 * went through the stack is seen twice, once before and once after it; the
 * second hook then grants the flow one second of fast path in that direction
 * (`fast`) and notes where the stack sent the packet (masq_next_hops;
 * pod_device). After that second the next packet goes through the stack
 * again. So conntrack stays alive, and a route, neighbour or firewall rule
 * that changes counts within a second: a packet that the stack drops renews
 * nothing. Both hooks must find the flow under one key, so whatever netfilter
 * itself translates (a ClusterIP) never qualifies. SYN, FIN, RST, fragments,
 * options, ICMP errors, an expiring TTL and packets above the MTU always take
 * the stack.
 */

#ifndef MASQ_FAST_H
#define MASQ_FAST_H
MASQ_INLINE bool masq_mac_equal(const __u8 *a, const __u8 *b)
{
	__u8 differ = 0;

#pragma unroll
	for (int i = 0; i < 6; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/*
 * The slot of masq_next_hops for this MAC address behind this uplink; 0: they
 * are all in use. A slot that nobody's consent has named for two seconds is
 * given away, so the consent of a second never points to another's.
 */
MASQ_NOINLINE __u32 masq_next_hop_slot(const __u8 *mac, __u32 uplink, __u32 now,
				       const struct masq_policy *pol)
{
	__u32 start = mac[5] ^ mac[4] ^ uplink;

#pragma unroll
	for (__u32 i = 0; i < 4; i++) {
		__u32 slot = (start + i) & (MASQ_MAX_NEXT_HOPS - 1);
		struct masq_next_hop *hop;

		if (!slot)
			continue;
		hop = bpf_map_lookup_elem(&masq_next_hops, &slot);
		if (!hop)
			break;
		if (hop->uplink == uplink && masq_mac_equal(hop->mac, mac)) {
			hop->used = now;
			return slot;
		}
		if (!hop->uplink || now - hop->used > masq_two_seconds(pol)) {
			hop->used = now;
			hop->uplink = uplink;
			__builtin_memcpy(hop->mac, mac, 6);
			return slot;
		}
	}
	return 0;
}

/* Is the consent in force? It ends at the tick whose low byte it has. */
MASQ_INLINE bool masq_consent(__u16 fast, __u32 last_seen, __u32 now)
{
	__u8 left = MASQ_FAST_UNTIL(fast) - now;

	return fast && now - last_seen < MASQ_FAST_MAX && left &&
	       left <= MASQ_FAST_MAX;
}
#endif

/*
 * Gives a record the stack's consent, and a REV record (pod_device not 0) the
 * way to the pod: only as long as the slot is still that flow's, since another
 * one would go this one's way.
 */
MASQ_GLOBAL int FN(fast_grant)(__u32 slot, __u32 seq, __u32 fast,
			       __u32 pod_device, __u32 pod_mtu)
{
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	FLOW *f = FN(slot)(slot);

	if (!f || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (f->seq == (__u16)seq && f->what & MASQ_W_LIVE) {
		f->fast = fast;
		if (pod_device) {
			f->pod_mtu = pod_mtu;
			f->pod_device = pod_device;
		}
	}
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/* Uplink egress: the stack has sent this packet of *f on its way. */
MASQ_NOINLINE int FN(fast_consent_out)(struct __sk_buff *skb, VIEW *v,
				       const PKT *pkt, __u32 now)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 ifindex = skb->ifindex, slot, until;
	struct masq_iface *iface;
	__u8 mac[6];

	if (!pol || !pkt->simple || pkt->l3_off != ETH_HLEN ||
	    !skb->ingress_ifindex ||
	    masq_flow_state(pkt->proto, v->out_seen, v->in_seen) !=
		    MASQ_ST_ESTABLISHED ||
	    (pkt->proto == IPPROTO_TCP && !(pol->flags & MASQ_P_FAST_TCP)))
		return 0;
	iface = bpf_map_lookup_elem(&masq_ifaces, &ifindex);
	if (!iface || !iface->uplink || bpf_skb_load_bytes(skb, 0, mac, 6))
		return 0;
	slot = masq_next_hop_slot(mac, iface->uplink, now, pol);
	if (!slot)
		return 0;
	until = now + (pol->fast < MASQ_FAST_MAX ? pol->fast : MASQ_FAST_MAX);
	if (v->fast != MASQ_FAST(slot, until))
		MASQ_DO(FN(fast_grant)(v->slot, v->seq, MASQ_FAST(slot, until),
				       0, 0));
	return 0;
}

/* Egress of the pod's veth: the stack has let a reply through to the pod. */
MASQ_INLINE void FN(fast_seen)(struct __sk_buff *skb)
{
	struct masq_policy *pol;
	__u32 now = masq_now(), mtu = 0, until;
	__u32 peer, peer_seq;
	FLOW *rev;
	PKT pkt;
	VIEW v;

	__builtin_memset(&pkt, 0, sizeof(pkt));
	if (!FN(parse_simple)(skb, &pkt, ETH_HLEN, MASQ_INGRESS))
		return;
	if (!FN(see)(&pkt.key, &v) || v.kind != MASQ_K_FWD ||
	    !FN(live)(&v, now) || !v.fast)
		return; /* never seen to qualify on its way out */
	rev = FN(peer_of)(v.slot, v.seq, &peer, &peer_seq) ? FN(slot)(peer)
							   : NULL;
	pol = masq_policy_of(masq_half());
	if (!rev || !pol || rev->seq != peer_seq ||
	    rev->what >> MASQ_W_KIND != MASQ_K_REV)
		return;
#ifdef MASQ_MODERN /* bpf_check_mtu is of 5.12 */
	bpf_check_mtu(skb, 0, &mtu, 0, 0);
#endif
	until = now + (pol->fast < MASQ_FAST_MAX ? pol->fast : MASQ_FAST_MAX);
	if (rev->fast != MASQ_FAST(1, until) || rev->pod_mtu != mtu ||
	    rev->pod_device != skb->ifindex)
		MASQ_DO(FN(fast_grant)(peer, peer_seq, MASQ_FAST(1, until),
				       skb->ifindex, mtu));
}

/* RFC 1812 section 5.3.1. False: it would expire here. */
MASQ_INLINE bool FN(fast_ttl)(void *l3)
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

	if (ip->hop_limit <= 1)
		return false;
	ip->hop_limit--;
#endif
	return true;
}

MASQ_INLINE bool FN(fast_fits)(struct __sk_buff *skb, const PKT *pkt, __u32 mtu)
{
	return (skb->gso_size ? skb->gso_size + pkt->hdr_len : pkt->l3_len) <=
	       mtu;
}

/*
 * Ingress of the pod's veth: a packet from the pod. The ifindex to redirect it
 * to, 0 to let it take the stack, negative to drop it.
 */
MASQ_INLINE int FN(fast_out)(struct __sk_buff *skb)
{
	__u32 now = masq_now(), slot;
	struct masq_next_hop *hop;
	struct masq_uplink *up;
	void *data, *end;
	struct ethhdr *eth;
	PKT p, *pkt = &p;
	VIEW v;

	__builtin_memset(pkt, 0, sizeof(*pkt));
	if (!FN(parse_simple)(skb, pkt, ETH_HLEN, MASQ_EGRESS))
		return 0;
	if (!FN(see)(&pkt->key, &v) || v.kind != MASQ_K_FWD || !v.fast)
		return 0;
	if (!masq_consent(v.fast, v.last_seen, now)) {
		v.at->fast = 0; /* its low byte would come round again */
		return 0;
	}
	if (!FN(live)(&v, now) ||
	    (v.last_seen ^ now) >> MASQ_ADDRESS_SHIFT || /* E1 is due */
	    !FN(is_routine)(pkt, &v, MASQ_EGRESS))
		return 0;
	slot = MASQ_FAST_SLOT(v.fast);
	hop = bpf_map_lookup_elem(&masq_next_hops, &slot);
	if (!hop)
		return 0;
	slot = hop->uplink;
	up = bpf_map_lookup_elem(&masq_uplinks, &slot);
	if (!up || !up->ifindex || !FN(fast_fits)(skb, pkt, up->mtu))
		return 0;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	eth = data;
	if (data + ETH_HLEN + L3_HLEN > end || !FN(fast_ttl)(data + ETH_HLEN))
		return 0;
	__builtin_memcpy(eth->h_dest, hop->mac, 6);
	__builtin_memcpy(eth->h_source, up->mac, 6);
	if (v.last_seen != now)
		MASQ_DO(FN(flow_touch)(&pkt->key, &v, now, MASQ_EGRESS));
	FN(flow_count)(skb, pkt, &v, MASQ_EGRESS);
	v.at->pod_ack = pkt->tcp_ack;
	if (FN(rewrite)(skb, pkt, v.xlat_addr, v.xlat_port, ETH_HLEN,
			MASQ_EGRESS))
		return -1;
	return up->ifindex;
}

/*
 * Uplink ingress, a translated reply of *rev that the stack would now route:
 * the interface whose peer is the pod's own, or 0.
 */
MASQ_INLINE __u32 FN(fast_in)(struct __sk_buff *skb, const PKT *pkt,
			      const VIEW *rev, __u32 now, const __u32 l2_len)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (!l2_len || !pkt->simple || !rev->fast)
		return 0;
	if (!masq_consent(rev->fast, rev->last_seen, now)) {
		rev->at->fast = 0; /* its low byte would come round again */
		return 0;
	}
	/* what a REV record has in the place of `device`: the pod's MTU */
	if (!FN(is_routine)(pkt, rev, MASQ_INGRESS) ||
	    !FN(fast_fits)(skb, pkt, rev->device))
		return 0;
	if (data + l2_len + L3_HLEN > end || !FN(fast_ttl)(data + l2_len))
		return 0;
	return rev->pod_device;
}
