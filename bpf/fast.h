/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fast.h - the fast path (attach --fast-path): established, translated flows
 * skip the node's stack, from the pod's veth straight out of the uplink and
 * back into the pod. Included once per family by family.h.
 *
 * Nothing is assumed of what the stack would do: it is asked. A packet that
 * went through the stack is seen twice, once before and once after it; the
 * second hook then grants the flow one second of fast path in that direction
 * (fast_until) and notes where the stack sent the packet (next_hop, uplink;
 * pod_ifindex). After that second the next packet goes through the stack
 * again. So conntrack stays alive, and a route, neighbour or firewall rule
 * that changes counts within a second: a packet that the stack drops renews
 * nothing. Both hooks must find the flow under one key, so whatever netfilter
 * itself translates (a ClusterIP) never qualifies. SYN, FIN, RST, fragments,
 * options, ICMP errors, an expiring TTL and packets above the MTU always take
 * the stack.
 */

/* Uplink egress: the stack has sent this packet of *f on its way. */
MASQ_NOINLINE int FN(fast_consent_out)(struct __sk_buff *skb, FLOW *f,
				       const PKT *pkt, __u32 now)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 ifindex = skb->ifindex;
	struct masq_iface *iface;

	if (!pol || !pkt->simple || pkt->l3_off != ETH_HLEN ||
	    !skb->ingress_ifindex || f->state != MASQ_ST_ESTABLISHED ||
	    (pkt->proto == IPPROTO_TCP && !(pol->flags & MASQ_P_FAST_TCP)))
		return 0;
	iface = bpf_map_lookup_elem(&masq_ifaces, &ifindex);
	if (!iface || !iface->uplink)
		return 0;
	if (bpf_skb_load_bytes(skb, 0, f->fwd.next_hop, 6))
		return 0;
	f->fwd.uplink = iface->uplink;
	f->fwd.fast_until = (now + pol->fast) | 1; /* never 0 */
	return 0;
}

/* Egress of the pod's veth: the stack has let a reply through to the pod. */
MASQ_INLINE void FN(fast_seen)(struct __sk_buff *skb)
{
	struct masq_policy *pol;
	__u32 now = masq_now(), mtu = 0;
	FLOW *f, *rev;
	KEY key;
	PKT pkt;

	__builtin_memset(&pkt, 0, sizeof(pkt));
	if (!FN(parse_simple)(skb, &pkt, ETH_HLEN, MASQ_INGRESS))
		return;
	f = bpf_map_lookup_elem(&FLOWS, &pkt.key);
	if (!f || f->kind != MASQ_K_FWD || !FN(flow_live)(f, now) ||
	    !f->fwd.fast_until)
		return; /* never seen to qualify on its way out */
	rev = FN(peer)(&pkt.key, f, &key);
	pol = masq_policy_of(masq_half());
	if (!rev || !pol)
		return;
#ifdef MASQ_MODERN /* bpf_check_mtu is of 5.12 */
	bpf_check_mtu(skb, 0, &mtu, 0, 0);
#endif
	rev->rev.pod_mtu = mtu;
	rev->rev.pod_ifindex = skb->ifindex;
	rev->rev.fast_until = (now + pol->fast) | 1;
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
	struct masq_uplink *up;
	__u32 now = masq_now(), slot;
	void *data, *end;
	struct ethhdr *eth;
	FLOW *f;
	PKT p, *pkt = &p;

	__builtin_memset(pkt, 0, sizeof(*pkt));
	if (!FN(parse_simple)(skb, pkt, ETH_HLEN, MASQ_EGRESS))
		return 0;
	f = bpf_map_lookup_elem(&FLOWS, &pkt->key);
	if (!f || f->kind != MASQ_K_FWD || !FN(flow_live)(f, now) ||
	    !f->fwd.fast_until || masq_passed(now, f->fwd.fast_until) ||
	    (f->last_seen ^ now) >> MASQ_ADDRESS_SHIFT || /* E1 is due */
	    !FN(is_routine)(pkt, f, MASQ_EGRESS))
		return 0;
	slot = f->fwd.uplink;
	up = bpf_map_lookup_elem(&masq_uplinks, &slot);
	if (!up || !up->ifindex || !FN(fast_fits)(skb, pkt, up->mtu))
		return 0;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	eth = data;
	if (data + ETH_HLEN + L3_HLEN > end || !FN(fast_ttl)(data + ETH_HLEN))
		return 0;
	__builtin_memcpy(eth->h_dest, f->fwd.next_hop, 6);
	__builtin_memcpy(eth->h_source, up->mac, 6);
	if (f->last_seen != now)
		MASQ_DO(FN(flow_touch)(&pkt->key, f, now));
	FN(flow_count)(skb, pkt, f, MASQ_EGRESS);
	f->fwd.pod_ack = pkt->tcp_ack;
	if (FN(rewrite)(skb, pkt, f->xlat_addr, f->xlat_port, ETH_HLEN,
			MASQ_EGRESS))
		return -1;
	return up->ifindex;
}

/*
 * Uplink ingress, a translated reply of *rev that the stack would now route:
 * the interface whose peer is the pod's own, or 0.
 */
MASQ_INLINE __u32 FN(fast_in)(struct __sk_buff *skb, const PKT *pkt,
			      const FLOW *rev, __u32 now, const __u32 l2_len)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (!l2_len || !pkt->simple || !rev->rev.fast_until ||
	    masq_passed(now, rev->rev.fast_until) ||
	    !FN(is_routine)(pkt, rev, MASQ_INGRESS) ||
	    !FN(fast_fits)(skb, pkt, rev->rev.pod_mtu))
		return 0;
	if (data + l2_len + L3_HLEN > end || !FN(fast_ttl)(data + l2_len))
		return 0;
	return rev->rev.pod_ifindex;
}
