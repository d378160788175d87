/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.h - the contract's packet table: what happens to a packet, by its
 * record or, without one, by the policy. Knows nothing of hooks or verdict
 * codes: returns a reason, MASQ_R_NONE meaning translated or passed by record.
 *
 * A packet that needs a new record goes through here twice: the first pass
 * answers MASQ_MAKE_FLOW, the record is made by nat.h, and the second pass, told
 * what came of it (`made`), treats the packet as any that has a record. Making
 * one goes deep, and the kernel allows 512 bytes of stack for a whole chain of
 * calls; so nothing of the packet's may lie on it meanwhile.
 *
 * Included once per family by family.h.
 */

/*
 * What is rare is verified once by itself, not once for each way there: its
 * packet goes to it in the scratch slot.
 */
MASQ_INLINE void FN(to_scratch)(const PKT *pkt)
{
	struct masq_scratch *s = masq_scratch_get(0);

	if (s)
		*(PKT *)s->pkt = *pkt;
}

/* And what is known of its record. */
struct FN(met) {
	__u32 slot;
	__u16 seq;
	__u8 kind;
	__u8 pad;
	__u8 out_seen;
	__u8 in_seen;
	__u16 pad2;
	__u32 last_seen;
	__u32 expires;
	__be32 xlat_addr[WORDS];
};

_Static_assert(sizeof(struct FN(met)) <=
		       sizeof(((struct masq_scratch *)0)->met),
	       "met");

/*
 * Does an answer keep a translated flow alive? Without ports it may as well be
 * the node's own tunnel that the far side sends to: what the pod says alone
 * counts (RFC 4787 REQ-6a).
 */
MASQ_INLINE bool FN(answers_count)(__u8 proto)
{
	return FN(proto_has_ports)(proto) || proto == PROTO_ICMP;
}

/*
 * A packet that shows its flow something new, or meets a flow that is
 * unanswered or closed (both in the scratch slot): brings both records up to
 * date. False: the flow has to end here (E2, E3) and the packet is to be treated
 * as having none; the scratch slot names the flow's owner.
 */
#ifndef MASQ_ADVANCE
#define MASQ_ADVANCE
enum {
	MASQ_TOUCH = 2 /* advance: nothing new, but a tick later */
};
#endif
MASQ_GLOBAL int FN(advance)(__u32 now, __u32 dir)
{
	struct masq_scratch *s = masq_scratch_get(0);
	__u32 slot, seq, kind, page, changed;
	bool egress = dir == MASQ_EGRESS;
	struct masq_aside *a;
	struct masq_policy *pol;
	struct masq_lock *lock;
	struct masq_decision d;
	struct FN(met) * v;
	const PKT *pkt;
	__u8 seen, proto;
	PAGE *p;
	__u32 last, role = MASQ_ROLE_FLOW;
	FLOW *own;

	if (!s)
		return 1;
	pkt = (const PKT *)s->pkt;
	v = (struct FN(met) *)s->met;
	slot = v->slot;
	seq = v->seq;
	kind = v->kind;
	last = v->last_seen;
	seen = pkt->seen;
	proto = pkt->key.proto;
	pol = masq_policy_of(masq_half());
	a = FN(aside)(slot);
	own = FN(slot)(slot);
	if (!pol || !a || !own)
		return 1;
	own->last_seen = now;
	if (kind == MASQ_K_REV) {
		/* gone in this moment: what is in hand is as good as it was */
		if (!FN(peer_of)(v->slot, v->seq, &slot, &seq))
			return 1;
		kind = MASQ_K_FWD;
		own = FN(slot)(slot);
		a = FN(aside)(slot);
		if (!own || !a || own->seq != (__u16)seq)
			return 1;
	}

	if (pkt->class == MASQ_C_OPENER) {
		/* E2 asks for an answer: a forged SYN or ACK from outside must
		 * not let the pod's own connection pass */
		if (egress && kind == MASQ_K_INBOUND && !v->out_seen &&
		    proto == IPPROTO_TCP) {
			goto end;
		}
		/* a SYN on a closed flow is a new connection */
		if (masq_flow_state(proto, own->out_seen, own->in_seen) ==
			    MASQ_ST_CLOSED &&
		    (egress || kind != MASQ_K_FWD)) {
			goto end;
		}
		/* E3: nobody answered; would today's policy decide otherwise? */
		if (egress && !own->in_seen &&
		    (kind == MASQ_K_FWD || kind == MASQ_K_KEEP) &&
		    pkt->key.role == MASQ_ROLE_FLOW &&
		    a->generation != pol->generation) {
			int r = FN(decide)(pkt->key.in_addr, pkt->key.rem_addr,
					   &d);

			if (r || (d.action == MASQ_MASQUERADE) !=
					 (kind == MASQ_K_FWD)) {
				goto end;
			}
			MASQ_DO(FN(approve)(slot, seq, pol->generation));
		}
	}

	/*
	 * A RST or FIN from outside ends the flow only near what the inside
	 * has acknowledged: a blind one is delivered, and believed by nobody.
	 * Before the handshake is done there is nothing to protect.
	 */
	if (!egress && seen & (MASQ_SEEN_RST | MASQ_SEEN_FIN) &&
	    masq_flow_state(proto, own->out_seen, own->in_seen) !=
		    MASQ_ST_NEW) {
		__u32 ack = own->pod_ack, ahead = pkt->tcp_seq - ack;

		/* a FIN may come with data that the pod has had */
		if (ack && (seen & MASQ_SEEN_RST ? ahead + 1 > MASQ_RST_WINDOW
						 : ahead + MASQ_RST_WINDOW >
							   2 * MASQ_RST_WINDOW))
			seen = MASQ_SEEN_ONE;
	}
	if (proto != IPPROTO_TCP && now - a->created >= masq_two_seconds(pol))
		seen |= MASQ_SEEN_LATE;
	/* nothing new, as with every packet of a stream that nobody answers;
	 * a closed flow is not refreshed */
	if (!((egress ? v->out_seen : v->in_seen) ^
	      ((egress ? v->out_seen : v->in_seen) | seen | MASQ_SEEN_ONE |
	       MASQ_SEEN_TWO)) &&
	    !((v->out_seen | v->in_seen) & MASQ_SEEN_RST)) {
		if (last != now &&
		    masq_flow_state(proto, v->out_seen, v->in_seen) !=
			    MASQ_ST_CLOSED)
			return MASQ_TOUCH;
		return 1;
	}

	page = slot >> MASQ_PAGE_SHIFT;
	lock = FN(page_lock)(page);
	p = FN(page)(page);
	if (!lock || !p)
		return 1;
	own = &p->slot[slot & (MASQ_PAGE_SLOTS - 1)];
	changed = 0;
	bpf_spin_lock(&lock->lock);
	if (own->seq == (__u16)seq && own->what & (MASQ_W_LIVE | MASQ_W_MADE)) {
		__u8 out = own->out_seen, in = own->in_seen;
		__u8 old = egress ? out : in, new = old | seen;
		bool closed = masq_flow_state(proto, out, in) == MASQ_ST_CLOSED;
		__u32 expires;

		if (old & MASQ_SEEN_ONE)
			new |= MASQ_SEEN_TWO;
		/* RFC 7857 section 2.2: any other packet takes a RST back */
		if (!((seen | pkt->seen) & MASQ_SEEN_RST) &&
		    (out | in) & MASQ_SEEN_RST) {
			out &= ~MASQ_SEEN_RST;
			in &= ~MASQ_SEEN_RST;
			new &= ~MASQ_SEEN_RST;
			changed = 1;
		}
		changed |= new != old;
		if (egress)
			out = new;
		else
			in = new;
		expires = now + masq_lasting(FN(flow_timeout)(pol, &pkt->key,
							      kind, out, in));
		/* a closed flow is not refreshed */
		if (!closed ||
		    masq_flow_state(proto, out, in) != MASQ_ST_CLOSED) {
			if ((changed || (__s32)(expires - own->expires) > 0) &&
			    (egress || kind != MASQ_K_FWD ||
			     FN(answers_count)(proto)))
				own->expires = expires;
		}
		own->out_seen = out;
		own->in_seen = in;
		if ((__s32)(p->label.soonest - own->expires) > 0) {
			p->label.soonest = own->expires;
			p->label.changes++;
		}
		v->out_seen = out;
		v->in_seen = in;
		v->expires = own->expires;
		changed |= 2;
		role = own->what & MASQ_W_ROLE;
		if (closed !=
		    (masq_flow_state(proto, out, in) == MASQ_ST_CLOSED))
			changed |= closed ? 8 : 4;
	}
	bpf_spin_unlock(&lock->lock);
	if (!changed || kind != MASQ_K_FWD)
		return 1;
	/* the slot may be another flow's by now: the pod is the packet's */
	if (changed & (4 | 8) && FN(has_quota)(kind, role))
		MASQ_DO(FN(
			pod_closed)(MASQ_ADDR_WORDS(v->kind == MASQ_K_REV
							    ? v->xlat_addr
							    : pkt->key.in_addr),
				    changed & 4 ? 1 : -1));
	MASQ_DO(FN(flow_copy)(slot, seq));
	return 1;
end:
	v->slot = slot;
	v->seq = seq;
	return 0;
}

/* As advance(), with *v. */
MASQ_NOINLINE int FN(met)(const PKT *pkt, VIEW *v, __u32 now, __u32 dir)
{
	struct masq_scratch *s = masq_scratch_get(0);
	struct FN(met) * m;
	int r;

	if (!s)
		return 1;
	FN(to_scratch)(pkt);
	m = (struct FN(met) *)s->met;
	m->slot = v->slot;
	m->seq = v->seq;
	m->kind = v->kind;
	m->out_seen = v->out_seen;
	m->in_seen = v->in_seen;
	m->last_seen = v->last_seen;
	m->expires = v->expires;
	FN(addr_copy)(m->xlat_addr, v->xlat_addr);
	r = FN(advance)(now, dir);
	v->slot = m->slot;
	v->seq = m->seq;
	v->out_seen = m->out_seen;
	v->in_seen = m->in_seen;
	v->expires = m->expires;
	return r;
}

/* What a packet does to the flow whose record it has met. Where that ends the
 * flow, *v is without a record afterwards. */
MASQ_INLINE void FN(use)(const PKT *pkt, VIEW *v, __u32 now,
			 const enum masq_dir dir)
{
	int r = MASQ_TOUCH;

	if (likely(FN(is_routine)(pkt, v, dir))) {
		if (v->last_seen == now)
			return;
	} else {
		r = FN(met)(pkt, v, now, dir);
	}
	if (r == MASQ_TOUCH) {
		if (dir == MASQ_EGRESS || v->kind != MASQ_K_REV ||
		    likely(FN(answers_count)(pkt->proto)))
			MASQ_DO(FN(flow_touch)(&pkt->key, v, now, dir));
	} else if (!r) {
		MASQ_DO(FN(flow_end)(v->slot, v->seq));
		v->kind = 0;
	}
}

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
	struct FN(route) r = { .src = key->in_addr,
			       .dst = key->rem_addr,
			       .source = s->node };

	__builtin_memset(s->node, 0, sizeof(s->node));
	if (in && masq_features & MASQ_FEAT_FIB_SRC &&
	    masq_fib_found(FN(route_source)(skb, &r, in, uplink)))
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
 * A flow of the node, or of a neighbour that netfilter translates to an address
 * of the node: would a pod be given its ports, or its only mapping? Not where a
 * socket holds them, which host_owns finds.
 */
MASQ_INLINE bool FN(needs_reservation)(const PKT *pkt, __u32 forwarded)
{
	if (pkt->class == MASQ_C_OPENER)
		return forwarded ||
		       (pkt->proto != IPPROTO_TCP && pkt->proto != IPPROTO_UDP);
	return forwarded && pkt->class == MASQ_C_ACK;
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
		if (!FN(needs_reservation)(pkt, skb->ingress_ifindex))
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
	if (r)
		return r;
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
			      bool taken, __u32 now)
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
			    : !pkt->key.role && masq_host_flows())) {
		r = FN(host_flow)(skb, pkt, &v, v.kind == MASQ_K_REV, now);
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
		new : FN(to_scratch)(pkt);
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

/*
 * One packet, from its bytes to the reason for what happens to it. With
 * MASQ_ELSEWHERE it goes to the interface in scratch->redirect instead of on:
 * refused and back to its pod, or (reason MASQ_R_NONE) into the pod behind it.
 */
MASQ_INLINE int FN(packet)(struct __sk_buff *skb, __u32 l3_off, int made,
			   const __u32 l2_len, const enum masq_dir dir)
{
	struct masq_scratch *s;
	int reason;
	PKT pkt;

	__builtin_memset(&pkt, 0, sizeof(pkt));
	if (l3_off != l2_len || !FN(parse_simple)(skb, &pkt, l2_len, dir)) {
		s = masq_scratch_get(0);
		if (!s || !FN(parse_slow)(skb, l3_off, dir))
			return MASQ_R_NOT_IP;
		pkt = *(PKT *)s->pkt;
	}
	reason = dir == MASQ_EGRESS ? FN(egress)(skb, &pkt, l2_len, made)
				    : FN(ingress)(skb, &pkt, l2_len, made);
	if (masq_features & MASQ_FEAT_FAST && reason == MASQ_R_NONE &&
	    pkt.redirect) {
		s = masq_scratch_get(0);
		if (s)
			s->redirect = pkt.redirect;
		return s ? MASQ_R_NONE | MASQ_ELSEWHERE : MASQ_R_NONE;
	}
	if (unlikely(reason >= MASQ_R_NO_FLOW && reason < MASQ_R_MAX)) {
		MASQ_DO(FN(
			event)(&pkt.key, NULL, NULL, 0,
			       MASQ_EVENT(MASQ_EV_DROP, reason, skb->ifindex)));
		s = masq_scratch_get(0);
		if (dir == MASQ_EGRESS && s && FN(refuse)(skb, &pkt, reason)) {
			s->redirect = skb->ingress_ifindex;
			return reason | MASQ_ELSEWHERE;
		}
	}
	return reason;
}

/* Each hook's own, verified by itself: see the top of this file. */
MASQ_GLOBAL int FN(egress_eth)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, ETH_HLEN, MASQ_EGRESS);
}

MASQ_GLOBAL int FN(ingress_eth)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, ETH_HLEN, MASQ_INGRESS);
}

MASQ_GLOBAL int FN(egress_l3)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, 0, MASQ_EGRESS);
}

MASQ_GLOBAL int FN(ingress_l3)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, 0, MASQ_INGRESS);
}

/* A packet at a hook, in one pass or two. */
MASQ_INLINE int FN(hook)(struct __sk_buff *skb, __u32 l3_off,
			 const __u32 l2_len, const enum masq_dir dir)
{
	int r = MASQ_MAKE_FLOW, made = MASQ_MAKE_FLOW;

	for (int pass = 0; pass < 2; pass++) {
		if (l2_len)
			r = dir == MASQ_EGRESS
				    ? FN(egress_eth)(skb, l3_off, made)
				    : FN(ingress_eth)(skb, l3_off, made);
		else
			r = dir == MASQ_EGRESS
				    ? FN(egress_l3)(skb, l3_off, made)
				    : FN(ingress_l3)(skb, l3_off, made);
		if (masq_before && r == MASQ_INHERIT) {
			/* also when there is no place: a packet is lost then */
			MASQ_DO(FN(inherit)(0));
			made = MASQ_R_NONE;
			continue;
		}
		if (likely(r != MASQ_MAKE_FLOW))
			break;
		made = FN(make_room)(0) ?: FN(make_flow)(skb, 0);
		if (unlikely(made == MASQ_NO_PLACE_YET)) {
			MASQ_DO(FN(open_around)(0));
			made = FN(make_flow)(skb, 0);
			if (made == MASQ_NO_PLACE_YET)
				made = MASQ_R_TABLE_FULL;
		}
		/* another processor is making it: it may have done so by now */
		if (made == MASQ_R_BUSY)
			made = MASQ_R_NONE;
	}
	return r;
}

/* --- masq_ctl: the same decisions for people ---------------------------- */

MASQ_INLINE void FN(ctl_key)(KEY *key, const struct masq_ctl *ctl)
{
	__builtin_memset(key, 0, sizeof(*key));
	FN(addr_copy)(key->in_addr, ctl->in_addr);
	FN(addr_copy)(key->rem_addr, ctl->rem_addr);
	key->in_port = ctl->in_port;
	key->rem_port = ctl->rem_port;
	key->proto = ctl->proto;
	key->role = ctl->role;
}

/* What would happen to a new flow. Claims and counts nothing. */
MASQ_GLOBAL int FN(ctl_explain)(struct __sk_buff *skb)
{
	struct masq_scratch *s = masq_scratch_get(1);
	struct masq_decision d = {};
	struct masq_ctl *ctl;
	KEY key;

	if (!s)
		return -22;
	ctl = &s->ctl;
	FN(ctl_key)(&key, ctl);
	*(KEY *)&s->owner = key;
	/* any pod: the way of one of them */
	if (FN(addr_is_zero)(key.in_addr))
		FN(addr_copy)(((KEY *)&s->owner)->in_addr, ctl->xlat_addr);
	s->ifindex = ctl->ifindex;
	s->snat = 0;
	ctl->reason = MASQ_R_NONE;
	if (FN(is_multicast)(key.rem_addr))
		ctl->reason = MASQ_R_MULTICAST;
	else if (FN(addr_is_zero)(key.in_addr)) /* any pod */
		ctl->reason = FAM == 6 && FN(is_link_local)(key.rem_addr)
				      ? MASQ_R_LINK_LOCAL
				      : MASQ_R_NONE;
	else
		ctl->reason = FN(whose)(skb, key.in_addr, key.rem_addr,
					ctl->ifindex, 1);
	if (ctl->reason == MASQ_OWN_ADDRESS ||
	    (!ctl->reason && FN(goes_to_node)(skb, s, (KEY *)&s->owner,
					      ctl->device, ctl->ifindex)))
		ctl->reason = MASQ_R_HOST;
	if (!ctl->reason)
		ctl->reason = FN(decide)(key.in_addr, key.rem_addr, &d);
	if (!d.policy) {
		d.half = masq_half();
		d.policy = masq_policy_of(d.half);
	}
	ctl->generation = d.policy ? d.policy->generation : 0;
	ctl->prefix = d.prefix;
	ctl->action = d.action;
	if (ctl->reason) {
		ctl->action = MASQ_KEEP;
		ctl->prefix = MASQ_NO_PREFIX;
	}
	__builtin_memset(ctl->xlat_addr, 0, sizeof(ctl->xlat_addr));
	if (ctl->reason || d.action != MASQ_MASQUERADE)
		return 0;
	s->snat = d.snat;
	if (MASQ_SNAT_RANGES(d.snat) ? FN(from_pool)(1, 0)
				     : FN(node_address)(skb, s))
		FN(addr_copy)(ctl->xlat_addr, s->node);
	else
		ctl->reason = MASQ_R_NO_ADDRESS;
	return 0;
}

/* Has scratch->owner a live record? An expired one ends here. */
MASQ_GLOBAL int FN(ctl_there)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	VIEW v;

	if (!s || !FN(see)((KEY *)&s->owner, &v))
		return 0;
	if (FN(live)(&v, s->now))
		return 1;
	MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
	return 0;
}

/*
 * Makes a record as the kernel's conntrack table has the flow: KEEP, INBOUND
 * or RESERVED. -EEXIST (17) when the key has one, -ENOSPC (28) without room.
 */
MASQ_GLOBAL int FN(ctl_seed)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_policy *pol;
	struct masq_ctl *ctl;
	FLOW *flow;
	KEY *key;
	int ret;

	if (!s)
		return -22;
	ctl = &s->ctl;
	if (ctl->kind != MASQ_K_KEEP && ctl->kind != MASQ_K_INBOUND &&
	    ctl->kind != MASQ_K_RESERVED)
		return -22;
	key = (KEY *)&s->owner;
	FN(ctl_key)(key, ctl);
	s->now = masq_now();
	s->half = masq_half();
	s->kind = ctl->kind;
	pol = masq_policy_of(s->half);
	if (!pol || FN(ctl_there)(slot))
		return -17;
	if (FN(make_room)(slot))
		return -28;
	s->prefix = ctl->prefix;
	s->seen = 0;
	s->pod_ifindex = 0;
	FN(flow_init)(s, pol, ctl->kind);
	s->aside.flags = MASQ_F_SEEDED;
	flow = (FLOW *)&s->flow;
	flow->expires = s->now + ctl->timeout;
	/* what state means in terms of what was seen */
	flow->out_seen = MASQ_SEEN_ONE;
	flow->in_seen = 0;
	if (ctl->state != MASQ_ST_NEW) {
		flow->out_seen |= MASQ_SEEN_TWO | MASQ_SEEN_ACK |
				  MASQ_SEEN_LATE;
		flow->in_seen = flow->out_seen;
	} else if (ctl->kind == MASQ_K_INBOUND) {
		flow->in_seen = MASQ_SEEN_ONE;
		flow->out_seen = 0;
	}
	if (ctl->state == MASQ_ST_CLOSED) {
		flow->out_seen |= MASQ_SEEN_FIN;
		flow->in_seen |= MASQ_SEEN_FIN;
	}
	ret = FN(make_owner)(slot);
	return ret == MASQ_THERE ? -17 : ret ? -28 : 0;
}

/* Ends the flow whose owner has this key; -ENOENT (2). */
MASQ_GLOBAL int FN(ctl_delete)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY key;
	VIEW v;

	if (!s)
		return -22;
	FN(ctl_key)(&key, &s->ctl);
	if (!FN(see)(&key, &v))
		return -2;
	MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
	return 0;
}

/* As inherit(), for the flow whose owner has this key. */
MASQ_GLOBAL int FN(ctl_inherit)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	int ret;

	if (!s || !masq_before)
		return -22;
	FN(ctl_key)((KEY *)&s->owner, &s->ctl);
	s->now = masq_now();
	ret = FN(inherit)(slot);
	if (ret == -17)
		MASQ_DO(FN(inherit_seen)(slot));
	return ret;
}

/* What the table has under this key; kind 0: nothing, or what has expired. */
MASQ_GLOBAL int FN(ctl_find)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY key;
	VIEW v;

	if (!s)
		return -22;
	FN(ctl_key)(&key, &s->ctl);
	s->ctl.kind = 0;
	if (!FN(see)(&key, &v) || !FN(live)(&v, masq_now()))
		return 0;
	s->ctl.kind = v.kind;
	s->ctl.state = masq_flow_state(key.proto, v.out_seen, v.in_seen);
	return 0;
}
