/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.h - the contract's packet table: what happens to a packet, by its
 * record or, without one, by the policy. Knows nothing of hooks or verdict
 * codes: returns a reason, MASQ_R_NONE meaning translated or passed by record.
 * Included once per family by family.h.
 */

/*
 * A packet that shows its flow something new, or meets a flow that is
 * unanswered or closed: brings both records up to date. False: the flow has
 * ended here (E2, E3) and the packet is to be treated as having none.
 */
MASQ_NOINLINE int FN(advance)(const PKT *pkt, FLOW *f, __u32 now,
			      enum masq_dir dir)
{
	FLOW *own = f, *peer = NULL;
	struct masq_policy *pol;
	struct masq_decision d;
	__u8 out, in, old, new, state, seen;
	KEY pk;
	bool egress = dir == MASQ_EGRESS;

	pol = masq_policy_of(masq_half());
	if (!pol)
		return 1;
	if (f->kind == MASQ_K_REV) {
		peer = f;
		own = FN(peer)(&pkt->key, f, &pk);
		if (!own) { /* its owner went away in between */
			bpf_map_delete_elem(&FLOWS, &pkt->key);
			return 0;
		}
	}

	if (pkt->class == MASQ_C_OPENER) {
		/* E2 asks for an answer: a lone ACK from outside must not let
		 * the pod's own connection pass (SYN meets SYN may) */
		if (egress && own->kind == MASQ_K_INBOUND && !own->out_seen &&
		    pkt->key.proto == IPPROTO_TCP &&
		    !(own->in_seen & MASQ_SEEN_SYN)) {
			MASQ_DO(FN(flow_end)(&pkt->key, own));
			return 0;
		}
		/* a SYN on a closed flow is a new connection */
		if (own->state == MASQ_ST_CLOSED &&
		    (egress || own->kind != MASQ_K_FWD)) {
			MASQ_DO(FN(flow_end_any)(&pkt->key, f));
			return 0;
		}
		/* E3: nobody answered; would today's policy decide otherwise? */
		if (egress && !own->in_seen &&
		    (own->kind == MASQ_K_FWD || own->kind == MASQ_K_KEEP) &&
		    pkt->key.role == MASQ_ROLE_FLOW &&
		    own->generation != pol->generation) {
			int r = FN(decide)(pkt->key.in_addr, pkt->key.rem_addr,
					   &d);

			if (r || (d.action == MASQ_MASQUERADE) !=
					 (own->kind == MASQ_K_FWD)) {
				MASQ_DO(FN(flow_end)(&pkt->key, own));
				return 0;
			}
			own->generation = pol->generation;
		}
	}

	/*
	 * A RST from outside ends the flow only near what the inside has
	 * acknowledged: a blind one is delivered, and believed by nobody.
	 * Before the handshake is done there is nothing to protect.
	 */
	seen = pkt->seen;
	if (!egress && seen & MASQ_SEEN_RST && own->state != MASQ_ST_NEW) {
		__u32 ack = own->kind == MASQ_K_FWD ? own->fwd.pod_ack
						    : own->pod_ack;

		if (ack && pkt->tcp_seq - ack + 1 > MASQ_RST_WINDOW)
			seen = MASQ_SEEN_ONE;
	}

	out = own->out_seen;
	in = own->in_seen;
	old = egress ? out : in;
	new = old | seen;
	if (old & MASQ_SEEN_ONE)
		new |= MASQ_SEEN_TWO;
	/* RFC 7857 section 2.2: any other packet takes a RST back */
	if (seen == pkt->seen && !(seen & MASQ_SEEN_RST) &&
	    (out | in) & MASQ_SEEN_RST) {
		out &= ~MASQ_SEEN_RST;
		in &= ~MASQ_SEEN_RST;
		new &= ~MASQ_SEEN_RST;
	} else if (new == old) {
		/* nothing new; a closed flow is not refreshed */
		if (own->state != MASQ_ST_CLOSED && f->last_seen != now)
			MASQ_DO(FN(flow_touch)(&pkt->key, f, now));
		f->last_seen = now;
		return 1;
	}
	if (egress)
		out = new;
	else
		in = new;
	state = FN(flow_state)(pkt->key.proto, out, in);
	if (own->state != MASQ_ST_CLOSED || state != MASQ_ST_CLOSED)
		own->expires = FN(flow_expiry)(
			now, FN(flow_timeout)(pol, pkt->key.proto, own->kind,
					      state, out, in));
	own->out_seen = out;
	own->in_seen = in;
	own->state = state;
	if (own->kind == MASQ_K_FWD && !peer)
		peer = FN(peer)(&pkt->key, own, &pk);
	if (peer) {
		peer->out_seen = out;
		peer->in_seen = in;
		peer->state = state;
		peer->expires = own->expires;
	}
	f->last_seen = now;
	return 1;
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

/* E4 to E7, for a packet without a record. MASQ_R_NONE: it has one now. */
MASQ_NOINLINE int FN(egress_new)(struct __sk_buff *skb, const PKT *pkt,
				 __u32 now)
{
	struct masq_decision d = {};
	struct masq_scratch *s;
	__u32 packets, bytes;
	int r;

	if (pkt->key.role == MASQ_ROLE_HOST) {
		/* not a matter of policy: the port alone has to change */
		d.half = masq_half();
		d.prefix = MASQ_NO_PREFIX;
		return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_FWD);
	}
	/* forwarded packets carry the interface that they came in by */
	if (!skb->ingress_ifindex)
		return MASQ_R_HOST;
	if (FAM == 6 && FN(on_link)(skb, pkt))
		return MASQ_R_DISCOVERY;
	if (FN(is_link_local)(pkt->key.in_addr) ||
	    (FAM == 6 && FN(is_link_local)(pkt->key.rem_addr)))
		return MASQ_R_LINK_LOCAL;
	s = masq_scratch_get(0);
	if (!s)
		return MASQ_R_BUSY;
	__builtin_memset(s->node, 0, sizeof(s->node));
	if (FN(is_local)(skb, pkt->key.rem_addr, skb->ifindex, s->node) ||
	    (!FN(is_known_pod)(pkt->key.in_addr) &&
	     FN(is_local)(skb, pkt->key.in_addr, skb->ifindex, NULL)))
		return MASQ_R_HOST;
	r = FN(decide)(pkt->key.in_addr, pkt->key.rem_addr, &d);
	if (r)
		return r;
	if (d.action == MASQ_MASQUERADE) {
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
 * Makes the record that egress_new asked for. A kept flow without one passes
 * all the same, as keep_untracked.
 */
MASQ_INLINE int FN(egress_make)(struct __sk_buff *skb, const PKT *pkt)
{
	struct masq_scratch *s = masq_scratch_get(0);
	__u32 packets, bytes;
	int r = FN(make_flow)(skb, 0);

	if (!r || !s || s->kind != MASQ_K_KEEP)
		return r;
	FN(packet_size)(skb, pkt, &packets, &bytes);
	masq_count_prefix(s->prefix, MASQ_EGRESS, packets, bytes, 0);
	return MASQ_R_KEEP_UNTRACKED;
}

/*
 * A packet of the node itself meets a port that a pod's flow holds: the node's
 * flow gets another port, under a record of role HOST, which it keeps also
 * when the pod's flow has ended. NULL: pass it as it is.
 */
MASQ_INLINE FLOW *FN(host_flow)(struct __sk_buff *skb, PKT *pkt, bool taken,
				__u32 now)
{
	FLOW *f;

	pkt->key.role = MASQ_ROLE_HOST;
	f = bpf_map_lookup_elem(&FLOWS, &pkt->key);
	if (f) {
		if (FN(flow_live)(f, now))
			return f;
		MASQ_DO(FN(flow_end)(&pkt->key, f));
	}
	if (!taken || pkt->class != MASQ_C_OPENER ||
	    !FN(port_may_change)(pkt->proto) ||
	    FN(egress_new)(skb, pkt, now) != MASQ_MAKE_FLOW ||
	    FN(make_flow)(skb, 0))
		return NULL;
	return bpf_map_lookup_elem(&FLOWS, &pkt->key);
}

/*
 * Packets that are no flow's own: errors about one, later fragments of one.
 * MASQ_NOT_OURS: go on as with a packet without a record.
 */
MASQ_INLINE int FN(attached)(struct __sk_buff *skb, PKT *pkt, enum masq_dir dir)
{
	if (pkt->class == MASQ_C_ICMP_ERROR)
		return FN(icmp_error)(skb, pkt, dir);
	if (pkt->class == MASQ_C_FRAGMENT)
		return FN(fragment)(skb, pkt, dir);
	return MASQ_NOT_OURS;
}

/* E1: the node has not got the address any more that the flow leaves with. */
MASQ_INLINE bool FN(address_gone)(struct __sk_buff *skb, const FLOW *f)
{
	return f->kind == MASQ_K_FWD && !(f->flags & MASQ_F_FIXED) &&
	       !FN(is_local)(skb, f->xlat_addr, skb->ifindex, NULL);
}

/* The egress rows of the table. */
MASQ_INLINE int FN(egress)(struct __sk_buff *skb, PKT *pkt, const __u32 l2_len)
{
	__u32 now = masq_now();
	FLOW *f = NULL;
	int r;

	if (unlikely(FN(is_multicast)(pkt->key.rem_addr)))
		return MASQ_R_MULTICAST;
	if (unlikely(pkt->class >= MASQ_C_ICMP_ERROR)) {
		r = FN(attached)(skb, pkt, MASQ_EGRESS);
		if (r != MASQ_NOT_OURS)
			return r;
		goto new;
	}
	f = bpf_map_lookup_elem(&FLOWS, &pkt->key);
	if (f && unlikely(!FN(flow_live)(f, now))) {
		MASQ_DO(FN(flow_end_any)(&pkt->key, f));
		f = NULL;
	}
	if (unlikely(f ? f->kind == MASQ_K_REV
		       : !skb->ingress_ifindex && masq_host_flows())) {
		f = FN(host_flow)(skb, pkt, f != NULL, now);
		if (!f)
			return MASQ_R_HOST;
	}
	if (f) {
		__u32 last = f->last_seen;

		if (likely(FN(is_routine)(pkt, f, MASQ_EGRESS))) {
			if (last != now)
				MASQ_DO(FN(flow_touch)(&pkt->key, f, now));
		} else if (!FN(advance)(pkt, f, now, MASQ_EGRESS)) {
			f = NULL;
		}
		if (f && unlikely((last ^ now) >> MASQ_ADDRESS_SHIFT) &&
		    FN(address_gone)(skb, f)) {
			/* E1 */
			MASQ_DO(FN(flow_end)(&pkt->key, f));
			return MASQ_R_NO_ADDRESS;
		}
	}
	if (unlikely(!f)) {
		new : r = FN(egress_new)(skb, pkt, now);
		if (r == MASQ_MAKE_FLOW)
			r = FN(egress_make)(skb, pkt);
		if (r)
			return r;
		f = bpf_map_lookup_elem(&FLOWS, &pkt->key);
		if (!f)
			return MASQ_R_BUSY;
	}
	FN(flow_count)(skb, pkt, f, MASQ_EGRESS);
	if (likely(f->kind == MASQ_K_FWD)) {
		f->fwd.pod_ack = pkt->tcp_ack;
		if (masq_features & MASQ_FEAT_FAST)
			MASQ_DO(FN(fast_consent_out)(skb, f, pkt, now));
		if (FN(rewrite)(skb, pkt, f->xlat_addr, f->xlat_port, l2_len,
				MASQ_EGRESS))
			return MASQ_R_REWRITE;
	} else {
		f->pod_ack = pkt->tcp_ack;
	}
	r = MASQ_R_NONE;
	if (unlikely(pkt->fragment))
		r = FN(fragment_first)(skb, pkt, f, MASQ_EGRESS);
	/* last: what fragment_first sends must not carry it */
	if (likely(f->kind == MASQ_K_FWD))
		skb->cb[0] = masq_seal;
	return r;
}

/* I2 and I4, for a packet without a record. */
MASQ_NOINLINE int FN(ingress_new)(struct __sk_buff *skb, const PKT *pkt,
				  __u32 now)
{
	struct masq_decision d = { .prefix = MASQ_NO_PREFIX };

	if (pkt->class == MASQ_C_DISCOVERY)
		return MASQ_R_DISCOVERY;
	if (skb->pkt_type || FN(is_multicast)(pkt->key.in_addr))
		return MASQ_R_MULTICAST; /* or not meant for this node */
	if (FN(is_local)(skb, pkt->key.in_addr, skb->ifindex, NULL)) {
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
MASQ_INLINE int FN(ingress)(struct __sk_buff *skb, PKT *pkt, const __u32 l2_len)
{
	__u32 now = masq_now();
	FLOW *f = NULL;
	int r;

	if (unlikely(pkt->class >= MASQ_C_ICMP_ERROR)) {
		r = FN(attached)(skb, pkt, MASQ_INGRESS);
		if (r != MASQ_NOT_OURS)
			return r;
		goto new;
	}
	f = bpf_map_lookup_elem(&FLOWS, &pkt->key);
	if (f && unlikely(!FN(flow_live)(f, now))) {
		MASQ_DO(FN(flow_end_any)(&pkt->key, f));
		f = NULL;
	}
	if (f) {
		if (likely(FN(is_routine)(pkt, f, MASQ_INGRESS))) {
			if (f->last_seen != now)
				MASQ_DO(FN(flow_touch)(&pkt->key, f, now));
		} else if (!FN(advance)(pkt, f, now, MASQ_INGRESS)) {
			f = NULL;
		}
	}
	if (unlikely(!f)) {
		new : r = FN(ingress_new)(skb, pkt, now);
		if (r == MASQ_MAKE_FLOW)
			r = FN(make_flow)(skb, 0) ? MASQ_R_INBOUND_UNTRACKED
						  : MASQ_R_NONE;
		if (r)
			return r;
		f = bpf_map_lookup_elem(&FLOWS, &pkt->key);
		if (!f)
			return MASQ_R_INBOUND_UNTRACKED;
	}
	FN(flow_count)(skb, pkt, f, MASQ_INGRESS);
	if (likely(f->kind == MASQ_K_REV)) {
		if (FN(rewrite)(skb, pkt, f->xlat_addr, f->xlat_port, l2_len,
				MASQ_INGRESS))
			return MASQ_R_REWRITE;
		if (masq_features & MASQ_FEAT_FAST)
			pkt->redirect = FN(fast_in)(skb, pkt, f, now, l2_len);
	}
	if (unlikely(pkt->fragment))
		return FN(fragment_first)(skb, pkt, f, MASQ_INGRESS);
	return MASQ_R_NONE;
}

/* Where a packet goes other than on: both are interfaces, 0 for none. */
#ifndef MASQ_REDIRECT
#define MASQ_REDIRECT
struct masq_redirect {
	__u32 peer; /* into the pod behind it (fast path) */
	__u32 answer; /* back to the pod that is refused */
};
#endif

/* One packet, from its bytes to the reason for what happens to it. */
MASQ_INLINE int FN(packet)(struct __sk_buff *skb, __u32 l3_off,
			   const __u32 l2_len, const enum masq_dir dir,
			   struct masq_redirect *to)
{
	PKT pkt;
	int reason;

	__builtin_memset(&pkt, 0, sizeof(pkt));
	if (l3_off != l2_len || !FN(parse_simple)(skb, &pkt, l2_len, dir)) {
		struct masq_scratch *s = masq_scratch_get(0);

		if (!s || !FN(parse_slow)(skb, l3_off, dir))
			return MASQ_R_NOT_IP;
		pkt = *(PKT *)s->pkt;
	}
	reason = dir == MASQ_EGRESS ? FN(egress)(skb, &pkt, l2_len)
				    : FN(ingress)(skb, &pkt, l2_len);
	to->peer = pkt.redirect;
	if (unlikely(reason >= MASQ_R_NO_FLOW)) {
		to->peer = 0;
		MASQ_DO(FN(event)(&pkt.key, NULL, MASQ_EV_DROP, reason,
				  skb->ifindex));
		if (dir == MASQ_EGRESS && FN(refuse)(skb, &pkt, reason))
			to->answer = skb->ingress_ifindex;
	}
	return reason;
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
MASQ_NOINLINE int FN(ctl_explain)(struct __sk_buff *skb, struct masq_ctl *ctl)
{
	struct masq_decision d = {};
	KEY key;

	FN(ctl_key)(&key, ctl);
	ctl->reason = MASQ_R_NONE;
	__builtin_memset(ctl->xlat_addr, 0, sizeof(ctl->xlat_addr));
	if (FN(is_multicast)(key.rem_addr))
		ctl->reason = MASQ_R_MULTICAST;
	else if (FN(is_link_local)(key.in_addr) ||
		 (FAM == 6 && FN(is_link_local)(key.rem_addr)))
		ctl->reason = MASQ_R_LINK_LOCAL;
	else if (FN(is_local)(skb, key.rem_addr, ctl->ifindex,
			      ctl->xlat_addr) ||
		 (!FN(addr_is_zero)(key.in_addr) &&
		  !FN(is_known_pod)(key.in_addr) &&
		  FN(is_local)(skb, key.in_addr, ctl->ifindex, NULL)))
		ctl->reason = MASQ_R_HOST;
	else
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
	if (ctl->reason || d.action != MASQ_MASQUERADE)
		__builtin_memset(ctl->xlat_addr, 0, sizeof(ctl->xlat_addr));
	else if (!FN(node_address)(skb, key.rem_addr, ctl->ifindex, d.snat,
				   ctl->xlat_addr))
		ctl->reason = MASQ_R_NO_ADDRESS;
	return 0;
}

/*
 * Makes a record as the kernel's conntrack table has the flow: KEEP, INBOUND
 * or RESERVED. -EEXIST (17) when the key has one, -ENOSPC (28) without room.
 */
MASQ_NOINLINE int FN(ctl_seed)(struct masq_ctl *ctl)
{
	struct masq_scratch *s = masq_scratch_get(1);
	struct masq_policy *pol;
	FLOW *flow;
	KEY key;
	int ret;

	if (!s || (ctl->kind != MASQ_K_KEEP && ctl->kind != MASQ_K_INBOUND &&
		   ctl->kind != MASQ_K_RESERVED))
		return -22;
	FN(ctl_key)(&key, ctl);
	s->now = masq_now();
	s->half = masq_half();
	*(KEY *)&s->owner = key;
	s->kind = ctl->kind;
	pol = masq_policy_of(s->half);
	if (!pol || bpf_map_lookup_elem(&FLOWS, &key))
		return -17;
	if (FN(make_room)(1))
		return -28;
	flow = (FLOW *)&s->flow;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->kind = ctl->kind;
	flow->flags = MASQ_F_SEEDED;
	flow->prefix = ctl->prefix;
	flow->generation = pol->generation;
	flow->created = s->now;
	flow->last_seen = s->now;
	flow->expires = s->now + ctl->timeout;
	/* what state means in terms of what was seen */
	flow->out_seen = MASQ_SEEN_ONE;
	if (ctl->state != MASQ_ST_NEW) {
		flow->out_seen |= MASQ_SEEN_TWO | MASQ_SEEN_ACK;
		flow->in_seen = flow->out_seen;
	} else if (ctl->kind == MASQ_K_INBOUND) {
		flow->in_seen = MASQ_SEEN_ONE;
		flow->out_seen = 0;
	}
	if (ctl->state == MASQ_ST_CLOSED) {
		flow->out_seen |= MASQ_SEEN_FIN;
		flow->in_seen |= MASQ_SEEN_FIN;
	}
	flow->state = FN(flow_state)(key.proto, flow->out_seen, flow->in_seen);
	if (!FN(ring_push)(&key, s->now, FN(hand_look)(s->now, flow->expires)))
		return -28;
	ret = FN(flow_insert)(&key, flow);
	if (!ret)
		MASQ_DO(FN(flow_account)(&key, ctl->kind, 1));
	return ret;
}

/* Ends the flow whose owner has this key; -ENOENT (2). */
MASQ_NOINLINE int FN(ctl_delete)(struct masq_ctl *ctl)
{
	KEY key;
	FLOW *f;

	FN(ctl_key)(&key, ctl);
	f = bpf_map_lookup_elem(&FLOWS, &key);
	if (!f)
		return -2;
	return FN(flow_end_any)(&key, f);
}
