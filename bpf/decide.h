/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.h - the contract's packet table: what happens to a packet, by its
 * record (what that does to its flow: met.h) or, without one, by the policy.
 * Knows nothing of hooks or verdict codes: returns a reason, MASQ_R_NONE meaning
 * translated or passed by record.
 *
 * A packet that needs a new record goes through here twice (hook.h): the first
 * pass answers MASQ_MAKE_FLOW, the record is made by nat.h, and the second pass,
 * told what came of it (`made`), treats the packet as any that has a record.
 * Making one goes deep, and the kernel allows 512 bytes of stack for a whole
 * chain of calls; so nothing of the packet's may lie on it meanwhile.
 *
 * Included once per family by family.h.
 */

/*
 * Is it a discovery message on its own link, as a bridge carries it? A routed
 * one has lost its hop limit of 255: nobody believes it (RFC 4861 section 6.1,
 * 7.1), and it would only tell the pod's address. Multicast listener messages
 * have link-local addresses and need no exception.
 */
MASQ_INLINE bool FN(on_link)(struct __sk_buff *skb, const PKT *pkt)
{
	__u8 hop_limit = 0;

	return pkt->class == MASQ_C_DISCOVERY &&
	       !bpf_skb_load_bytes(skb, pkt->l3_off + 7, &hop_limit, 1) &&
	       hop_limit == 255;
}

/*
 * Asks for the way of a packet that came in by `in` (0: is not known), for the
 * source address that it asks for, in scratch->node. True: it goes to the node
 * itself.
 */
MASQ_NOINLINE int FN(goes_to_node)(struct __sk_buff *skb,
				   struct masq_scratch *s, const KEY *key,
				   __u32 in, __u32 uplink)
{
	__builtin_memset(s->node, 0, sizeof(s->node));
	/* sent by no socket: IPv6 that the node has put together forgets where
	 * it came in, and rules may go by it */
	if (FAM == 6 && !in && !skb->sk)
		in = FN(way_back)(skb, key->in_addr, key->rem_addr, 0, 0);
	if (in && masq_features & MASQ_FEAT_FIB_SRC &&
	    masq_fib_found(FN(route_source)(skb, key, s->node, in, uplink)))
		return 0;
	return FN(is_still_local)(skb, key->rem_addr, key->in_addr, uplink) ==
	       1;
}

/*
 * From one uplink to another, to an address of snat.addresses that no interface
 * of the node has and no flow is there for: it would go round between this node
 * and the router in front of it, and be a flow more with each turn.
 */
MASQ_NOINLINE int FN(goes_round)(const __be32 *addr, __u32 from, __u32 uplink)
{
	struct masq_policy *pol = masq_policy_of(masq_half());

	return pol && pol->flags & MASQ_P_SNAT &&
	       bpf_map_lookup_elem(&masq_ifaces, &from) &&
	       FN(is_local)(addr, uplink) == MASQ_LOCAL_SNAT;
}

/*
 * Has netfilter changed what the node's own socket sends? Then a look for the
 * socket by what is on the wire does not find it: it has another port (kube-proxy
 * masquerades what the node sends to a service), or is connected to another
 * address (the service's). Where conntrack is asked it knows.
 */
MASQ_NOINLINE bool FN(is_changed)(struct __sk_buff *skb, const KEY *key)
{
	struct bpf_sock *sk = skb->sk;
	__be32 to[WORDS];

	if (masq_features & MASQ_FEAT_CT || !sk)
		return false;
	sk = bpf_sk_fullsock(sk);
	/* of a tunnel's packet it is who sent what is in it */
	if (!sk || sk->protocol != key->proto)
		return false;
#if FAM == 4
	to[0] = sk->dst_ip4;
#else
	for (int i = 0; i < WORDS; i++)
		to[i] = sk->dst_ip6[i];
#endif
	return sk->src_port != bpf_ntohs(key->in_port) ||
	       (!FN(addr_is_zero)(to) && !FN(addr_equal)(to, key->rem_addr));
}

/*
 * A flow of the node, or of a neighbour that netfilter translates to an address
 * of the node: would a pod be given its ports, or its only mapping? Not where a
 * socket holds them, which host_owns finds.
 */
MASQ_INLINE bool FN(needs_reservation)(struct __sk_buff *skb, const PKT *pkt)
{
	bool ports = pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP;

	if (pkt->class == MASQ_C_OPENER && !ports)
		return true;
	return (pkt->class == MASQ_C_OPENER || pkt->class == MASQ_C_ACK) &&
	       (skb->ingress_ifindex || FN(is_changed)(skb, &pkt->key));
}

/*
 * E4 to E7, for a packet without a record: the one in the scratch slot
 * (to_scratch). A reason, or MASQ_MAKE_FLOW.
 */
MASQ_GLOBAL int FN(egress_new)(struct __sk_buff *skb, __u32 now)
{
	struct masq_scratch *s = masq_scratch_get(0);
	struct masq_decision d = {};
	__u32 packets, bytes;
	const PKT *pkt;
	int r;

	if (!s)
		return MASQ_R_BUSY;
	pkt = (const PKT *)s->pkt;
	if (masq_before && FN(is_inherited)(&pkt->key, now))
		return MASQ_INHERIT;
	if (FN(goes_round)(pkt->key.rem_addr, skb->ingress_ifindex,
			   skb->ifindex))
		return MASQ_R_NO_FLOW;
	if (pkt->key.role == MASQ_ROLE_HOST) {
		/* not a matter of policy: the port alone has to change */
		d.half = masq_half();
		d.prefix = MASQ_NO_PREFIX;
		return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_FWD);
	}
	if (FAM == 6 && skb->ingress_ifindex && FN(on_link)(skb, pkt))
		return MASQ_R_DISCOVERY;
	r = FN(whose)(skb, pkt->key.in_addr, pkt->key.rem_addr, skb->ifindex,
		      skb->ingress_ifindex);
	if (r == MASQ_OWN_ADDRESS) {
		if (!FN(needs_reservation)(skb, pkt))
			return MASQ_R_HOST;
		d.half = masq_half();
		d.prefix = MASQ_NO_PREFIX;
		return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_RESERVED);
	}
	if (r)
		return r;
	if (FN(goes_to_node)(skb, s, &pkt->key, skb->ingress_ifindex,
			     skb->ifindex))
		return MASQ_R_HOST;
	r = FN(decide)(pkt->key.in_addr, pkt->key.rem_addr, &d);
	if (unlikely(r)) {
		if (pkt->class != MASQ_C_OPENER || !FN(is_recorded)(&d, r))
			return r;
		d.prefix = MASQ_NO_PREFIX;
		return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_KEEP);
	}
	if (d.action == MASQ_MASQUERADE) {
		/* a SYN answers nothing, and is not asked about */
		if (pkt->class <= MASQ_C_OTHER &&
		    !(pkt->class == MASQ_C_OPENER &&
		      pkt->proto == IPPROTO_TCP) &&
		    FN(ct_of)(skb, &pkt->key) == MASQ_CT_ORIGINAL) {
			/* it came in where no hook of ours is: I4, then E2 */
			d.prefix = MASQ_NO_PREFIX;
			r = FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_INBOUND);
			s->seen = MASQ_SEEN_ONE |
				  (pkt->class == MASQ_C_ACK ? MASQ_SEEN_ACK
							    : MASQ_SEEN_SYN);
			return r;
		}
		switch (pkt->class) {
		case MASQ_C_OPENER: /* E4 */
		case MASQ_C_ACK: /* E6 */
			return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_FWD);
		case MASQ_C_MALFORMED:
			return pkt->fragment ? MASQ_R_FRAGMENT
					     : MASQ_R_MALFORMED;
		case MASQ_C_FRAGMENT:
			if (pkt->proto == IPPROTO_TCP && pkt->frag_off < 20)
				return MASQ_R_FRAGMENT;
			MASQ_DO(FN(fragment_hold)(skb, pkt, MASQ_EGRESS));
			return MASQ_R_NO_FLOW;
		default: /* E7 */
			return MASQ_R_NO_FLOW;
		}
	}
	/* E5 */
	if (pkt->class == MASQ_C_OPENER || pkt->class == MASQ_C_ACK)
		return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_KEEP);
	FN(packet_size)(skb, pkt, &packets, &bytes);
	masq_count_prefix(d.prefix, MASQ_EGRESS, packets, bytes, 0);
	return MASQ_R_KEPT;
}

/*
 * No record could be made for the packet in the scratch slot. A kept flow
 * passes all the same, as keep_untracked; so does the node's own.
 */
MASQ_GLOBAL int FN(egress_refused)(struct __sk_buff *skb, __u32 reason)
{
	struct masq_scratch *s = masq_scratch_get(0);
	__u32 packets, bytes;
	const PKT *pkt;

	if (!s)
		return reason;
	pkt = (const PKT *)s->pkt;
	if (((KEY *)&s->owner)->role == MASQ_ROLE_HOST ||
	    s->kind == MASQ_K_RESERVED)
		return MASQ_R_HOST;
	if (s->kind == MASQ_K_INBOUND)
		return MASQ_R_INBOUND_UNTRACKED;
	if (s->kind != MASQ_K_KEEP)
		return reason;
	FN(packet_size)(skb, pkt, &packets, &bytes);
	masq_count_prefix(s->prefix, MASQ_EGRESS, packets, bytes, 0);
	return MASQ_R_KEEP_UNTRACKED;
}

/*
 * A packet of the node itself, or of a neighbour with the node's address, meets
 * a port that a pod's flow holds: its flow gets another port, under a record of
 * role HOST, which it keeps also when the pod's flow has ended. Where the port
 * is not ours to change the pod's flow has to go. MASQ_R_NONE: *v is its record,
 * or kind 0. MASQ_R_HOST: pass it as it is. Or MASQ_MAKE_FLOW.
 */
MASQ_INLINE int FN(host_flow)(struct __sk_buff *skb, PKT *pkt, VIEW *v,
			      bool taken, int made, __u32 now)
{
	if (taken && !FN(port_may_change)(pkt->proto)) {
		MASQ_DO(FN(flow_end_any)(v->slot, v->seq, v->kind));
		v->kind = 0;
		return MASQ_R_NONE;
	}
	pkt->key.role = MASQ_ROLE_HOST;
	if (FN(see)(&pkt->key, v)) {
		if (FN(live)(v, now))
			return MASQ_R_NONE;
		MASQ_DO(FN(flow_end)(v->slot, v->seq));
		v->kind = 0;
	}
	/* before the pod's, whose record the old table has under our own key */
	if (masq_before && made && FN(is_inherited)(&pkt->key, now))
		return MASQ_INHERIT;
	if (!taken) {
		pkt->key.role = MASQ_ROLE_FLOW;
		return MASQ_R_NONE;
	}
	if (pkt->class != MASQ_C_OPENER)
		return MASQ_R_HOST;
	FN(to_scratch)(pkt);
	return FN(egress_new)(skb, now);
}

/*
 * Packets that are no flow's own, in the scratch slot: errors about one, later
 * fragments of one. MASQ_NOT_OURS: go on as with a packet without a record.
 */
MASQ_GLOBAL int FN(attached)(struct __sk_buff *skb, __u32 dir)
{
	struct masq_scratch *s = masq_scratch_get(0);
	PKT *pkt;

	if (!s)
		return MASQ_NOT_OURS;
	pkt = (PKT *)s->pkt;
	if (pkt->class == MASQ_C_ICMP_ERROR)
		return dir == MASQ_EGRESS
			       ? FN(icmp_error)(skb, pkt, MASQ_EGRESS)
			       : FN(icmp_error)(skb, pkt, MASQ_INGRESS);
	if (pkt->class == MASQ_C_FRAGMENT)
		return dir == MASQ_EGRESS
			       ? FN(fragment)(skb, pkt, MASQ_EGRESS)
			       : FN(fragment)(skb, pkt, MASQ_INGRESS);
	return MASQ_NOT_OURS;
}

/*
 * Has this FWD record's flow still its address? MASQ_ADDRESS_GONE: the node has
 * not got it any more (E1). MASQ_ADDRESS_MOVED: the flow leaves by another
 * uplink than it did, and a new flow would get another one there (E1b); where
 * it would get the same, the record goes on from there.
 */
#ifndef MASQ_ADDRESS
#define MASQ_ADDRESS
enum {
	MASQ_ADDRESS_THERE,
	MASQ_ADDRESS_GONE,
	MASQ_ADDRESS_MOVED,
};
#endif
MASQ_GLOBAL int FN(address_of)(struct __sk_buff *skb, __u32 slot, __u32 seq)
{
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	struct masq_scratch *s = masq_scratch_get(0);
	struct masq_aside *a = FN(aside)(slot);
	FLOW *f = FN(slot)(slot);
	__u32 uplink = skb->ifindex;
	__be32 addr[WORDS];
	bool moved;

	if (!s || !a || !f || !lock || a->flags & MASQ_F_FIXED)
		return MASQ_ADDRESS_THERE;
	FN(key_at)((KEY *)&s->owner, f);
	FN(addr_copy)(addr, f->xlat_addr);
	moved = f->device != uplink &&
		((KEY *)&s->owner)->role != MASQ_ROLE_HOST;
	if (f->seq != (__u16)seq)
		return MASQ_ADDRESS_THERE;
	if (!moved) {
		if (FN(way_to)(skb, addr, NULL, uplink))
			return MASQ_ADDRESS_GONE;
		if (FN(is_local)(addr, uplink))
			return MASQ_ADDRESS_THERE;
	}
	/* what a new flow gets is there, whether it is in a set or not */
	s->snat = 0;
	s->ifindex = uplink;
	MASQ_DO(FN(goes_to_node)(skb, s, (KEY *)&s->owner, skb->ingress_ifindex,
				 uplink));
	if (!FN(node_address)(skb, s) || !FN(addr_equal)(s->node, addr))
		return moved ? MASQ_ADDRESS_MOVED : MASQ_ADDRESS_GONE;
	if (!moved)
		return MASQ_ADDRESS_THERE;
	bpf_spin_lock(&lock->lock);
	if (f->seq == (__u16)seq && f->what & MASQ_W_LIVE)
		f->device = uplink;
	bpf_spin_unlock(&lock->lock);
	return MASQ_ADDRESS_THERE;
}

/*
 * A connection from outside that was idle for longer than tcpEstablished, and
 * now the pod speaks first. Row E6 would adopt it with the node's address, which
 * the client does not know. As long as the record's memory is there it says
 * better, so the flow goes on; afterwards conntrack is asked (egress_new), and
 * without it E6 stands: the client's RST tells the pod at once, where a drop
 * would leave it retransmitting for a quarter of an hour.
 */
MASQ_INLINE bool FN(goes_on)(const PKT *pkt, const VIEW *v)
{
	return v->kind == MASQ_K_INBOUND && pkt->class == MASQ_C_ACK &&
	       masq_flow_state(pkt->proto, v->out_seen, v->in_seen) ==
		       MASQ_ST_ESTABLISHED;
}

/* The egress rows of the table. */
MASQ_INLINE int FN(egress)(struct __sk_buff *skb, PKT *pkt, const __u32 l2_len,
			   int made)
{
	__u32 now = masq_now();
	VIEW v = {};
	int r;

	if (unlikely(made && made != MASQ_MAKE_FLOW)) {
		FN(to_scratch)(pkt);
		return FN(egress_refused)(skb, made);
	}
	if (unlikely(FN(is_multicast)(pkt->key.rem_addr)))
		return MASQ_R_MULTICAST;
	if (unlikely(pkt->class >= MASQ_C_ICMP_ERROR)) {
		FN(to_scratch)(pkt);
		r = FN(attached)(skb, MASQ_EGRESS);
		if (r != MASQ_NOT_OURS)
			return r;
		goto new;
	}
	if (FN(see)(&pkt->key, &v) && unlikely(!FN(live)(&v, now)) &&
	    !FN(goes_on)(pkt, &v)) {
		MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
		v.kind = 0;
	}
	if (unlikely(v.kind ? v.kind == MASQ_K_REV
			    : !pkt->key.role &&
				      (masq_host_flows() || masq_before))) {
		r = FN(host_flow)(skb, pkt, &v, v.kind == MASQ_K_REV, made,
				  now);
		if (r)
			return r;
	}
	if (v.kind && likely(made)) {
		FN(use)(pkt, &v, now, MASQ_EGRESS);
		if (unlikely((v.last_seen ^ now) >> MASQ_ADDRESS_SHIFT ||
			     v.device != skb->ifindex) &&
		    v.kind == MASQ_K_FWD) {
			r = FN(address_of)(skb, v.slot, v.seq);
			if (unlikely(r)) {
				MASQ_DO(FN(flow_end)(v.slot, v.seq));
				if (r == MASQ_ADDRESS_GONE) /* E1 */
					return MASQ_R_NO_ADDRESS;
				v.kind = 0; /* E1b */
			}
		}
	}
	if (unlikely(!v.kind)) {
		new : FN(fetch_ahead)(pkt);
		FN(to_scratch)(pkt);
		return likely(made) ? FN(egress_new)(skb, now)
				    : FN(egress_refused)(skb, MASQ_R_BUSY);
	}
	FN(flow_count)(skb, pkt, &v, MASQ_EGRESS);
	v.at->pod_ack = pkt->tcp_ack;
	if (likely(v.kind == MASQ_K_FWD)) {
		if (masq_features & MASQ_FEAT_FAST && skb->tc_index)
			MASQ_DO(FN(fast_consent_out)(skb, &v, pkt, now));
		if (FN(rewrite)(skb, pkt, v.xlat_addr, v.xlat_port, l2_len,
				MASQ_EGRESS))
			return MASQ_R_REWRITE;
	}
	if (unlikely(pkt->fragment))
		return FN(fragment_first)(skb, pkt, &v, MASQ_EGRESS);
	return MASQ_R_NONE;
}

/* I2 and I4, for a packet without a record: the one in the scratch slot. */
MASQ_GLOBAL int FN(ingress_new)(struct __sk_buff *skb, __u32 now)
{
	struct masq_decision d = { .prefix = MASQ_NO_PREFIX };
	struct masq_scratch *s = masq_scratch_get(0);
	const PKT *pkt;

	if (!s)
		return MASQ_R_HOST;
	pkt = (const PKT *)s->pkt;

	if (masq_before && FN(is_inherited)(&pkt->key, now))
		return MASQ_INHERIT;
	if (pkt->class == MASQ_C_DISCOVERY)
		return MASQ_R_DISCOVERY;
	if (skb->pkt_type || FN(is_multicast)(pkt->key.in_addr))
		return MASQ_R_MULTICAST; /* or not meant for this node */
	if (FN(is_local)(pkt->key.in_addr, skb->ifindex)) {
		if (pkt->class == MASQ_C_FRAGMENT)
			MASQ_DO(FN(fragment_hold)(skb, pkt, MASQ_INGRESS));
		return MASQ_R_HOST;
	}
	if (pkt->class != MASQ_C_OPENER && pkt->class != MASQ_C_ACK)
		return MASQ_R_INBOUND;
	d.half = masq_half();
	d.policy = masq_policy_of(d.half);
	if (!d.policy)
		return MASQ_R_HOST;
	if (FAM == 6 && !(d.policy->flags & MASQ_P_IPV6))
		return MASQ_R_FAMILY_OFF;
	return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_INBOUND);
}

/* The ingress rows of the table. */
MASQ_INLINE int FN(ingress)(struct __sk_buff *skb, PKT *pkt, const __u32 l2_len,
			    int made)
{
	__u32 now = masq_now();
	VIEW v = {};
	int r;

	if (unlikely(made && made != MASQ_MAKE_FLOW))
		return MASQ_R_INBOUND_UNTRACKED;
	if (unlikely(pkt->class >= MASQ_C_ICMP_ERROR)) {
		FN(to_scratch)(pkt);
		r = FN(attached)(skb, MASQ_INGRESS);
		if (r != MASQ_NOT_OURS)
			return r;
		goto new;
	}
	if (FN(see)(&pkt->key, &v) && unlikely(!FN(live)(&v, now))) {
		MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
		v.kind = 0;
	}
	if (v.kind) {
		/* to the pod's own address: translated by another hook, or by
		 * somebody who knows it; either way no answer to the flow */
		if (unlikely(v.kind == MASQ_K_FWD))
			return MASQ_R_NONE;
		if (likely(made))
			FN(use)(pkt, &v, now, MASQ_INGRESS);
	}
	if (unlikely(!v.kind)) {
		new : FN(to_scratch)(pkt);
		return likely(made) ? FN(ingress_new)(skb, now)
				    : MASQ_R_INBOUND_UNTRACKED;
	}
	FN(flow_count)(skb, pkt, &v, MASQ_INGRESS);
	if (likely(v.kind == MASQ_K_REV)) {
		if (FN(rewrite)(skb, pkt, v.xlat_addr, v.xlat_port, l2_len,
				MASQ_INGRESS))
			return MASQ_R_REWRITE;
		if (masq_features & MASQ_FEAT_FAST)
			pkt->redirect = FN(fast_in)(skb, pkt, &v, now, l2_len);
	}
	if (unlikely(pkt->fragment))
		return FN(fragment_first)(skb, pkt, &v, MASQ_INGRESS);
	return MASQ_R_NONE;
}
