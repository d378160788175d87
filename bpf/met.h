/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * met.h - what a packet does to the flow whose record it has met: what it shows
 * that is new, whether the flow has to end for it (E2, E3), which resets are
 * believed. Included once per family by family.h.
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
