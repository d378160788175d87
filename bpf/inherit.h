/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inherit.h - flows of the instance before. While an instance takes over from
 * another one (a new version with another layout, a larger table), the hooks
 * of all interfaces cannot be switched in one step. So the programs that are
 * put in read the old table where theirs has no answer: a packet whose flow
 * has a record there gets one here, with the same treatment, port, time and
 * counts. User space walks the old table meanwhile (MASQ_CTL_INHERIT), and then
 * puts in programs that know nothing of it: masq_before is 0 there, and the
 * verifier takes out all that stands here.
 *
 * Included once per family by family.h.
 */

/* Has the old table a flow of this packet? Then scratch->owner names it. */
MASQ_NOINLINE int FN(is_inherited)(const KEY *key, __u32 now)
{
	struct masq_scratch *s = masq_scratch_get(0);

	if (!s)
		return 0;
	*(KEY *)&s->owner = *key;
	s->now = now;
	return masq_before == 3 ? FN(before3_has)(0, MASQ_OWNER)
				: FN(before4_has)(0, MASQ_OWNER);
}

/* Holds a flow of the old table the port in scratch->rev? */
MASQ_INLINE bool FN(was_taken)(__u32 slot)
{
	return masq_before == 3	  ? FN(before3_has)(slot, MASQ_REV)
	       : masq_before == 4 ? FN(before4_has)(slot, MASQ_REV)
				  : 0;
}

/*
 * What the old programs have still seen of a flow that is here already, before
 * theirs was the last hook to be switched: a FIN, a RST, an answer.
 */
MASQ_GLOBAL int FN(inherit_seen)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_lock *lock;
	__u8 out, in;
	FLOW *f;
	VIEW v;

	if (!s || !masq_before || !FN(see_out_of_line)((KEY *)&s->owner, &v))
		return 0;
	out = ((FLOW *)&s->flow)->out_seen;
	in = ((FLOW *)&s->flow)->in_seen;
	/* any later packet would have taken a RST back */
	if (v.last_seen != ((FLOW *)&s->flow)->last_seen) {
		out &= ~MASQ_SEEN_RST;
		in &= ~MASQ_SEEN_RST;
	}
	lock = FN(page_lock)(v.slot >> MASQ_PAGE_SHIFT);
	f = FN(slot)(v.slot);
	if (!f || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (f->seq == v.seq && f->what & MASQ_W_LIVE) {
		f->out_seen |= out;
		f->in_seen |= in;
	}
	bpf_spin_unlock(&lock->lock);
	if (v.kind == MASQ_K_FWD)
		MASQ_DO(FN(flow_copy)(v.slot, v.seq));
	if (FN(has_quota)(v.kind, ((KEY *)&s->owner)->role) &&
	    masq_flow_state(((KEY *)&s->owner)->proto, v.out_seen, v.in_seen) !=
		    MASQ_ST_CLOSED &&
	    masq_flow_state(((KEY *)&s->owner)->proto, v.out_seen | out,
			    v.in_seen | in) == MASQ_ST_CLOSED)
		MASQ_DO(FN(pod_closed)(
			MASQ_ADDR_WORDS(((KEY *)&s->owner)->in_addr), 1));
	return 1;
}

/*
 * Takes over the flow whose record, of either direction, has the key
 * scratch->owner. 0: it is here now. -ENOENT (2): there is none. -EEXIST (17):
 * its key, or its port, has another flow here. -ENOSPC (28).
 */
MASQ_GLOBAL int FN(inherit)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	FLOW *flow, *made;
	__u32 seq = 0;
	KEY *owner;
	int ret;

	if (!s || !masq_before)
		return -2;
	if (masq_before == 3 ? !FN(before3)(slot) : !FN(before4)(slot))
		return -2;
	flow = (FLOW *)&s->flow;
	owner = (KEY *)&s->owner;
	if (s->kind == MASQ_K_FWD) {
		KEY *rev = (KEY *)&s->rev;
		__u32 last_seen = flow->last_seen;

		flow->what = MASQ_K_REV << MASQ_W_KIND;
		flow->last_seen = s->heir.rev_last_seen;
		FN(addr_copy)(flow->xlat_addr, owner->in_addr);
		flow->xlat_port = owner->in_port;
		s->aside.peer = MASQ_NO_SLOT;
		s->aside.peer_seq = 0;
		ret = FN(make_record)(slot, MASQ_REV);
		if (ret)
			return ret == MASQ_NO_PLACE ? -28 : -17;
		made = FN(slot)(s->rev_slot);
		if (!made)
			return -28;
		made->tally = s->heir.back;
		seq = made->seq;
		flow->last_seen = last_seen;
		FN(addr_copy)(flow->xlat_addr, rev->in_addr);
		flow->xlat_port = rev->in_port;
		s->aside.peer = s->rev_slot;
		s->aside.peer_seq = seq;
	}
	flow->what = s->kind << MASQ_W_KIND;
	ret = FN(make_record)(slot, MASQ_OWNER);
	made = ret ? NULL : FN(slot)(s->owner_slot);
	if (!made) {
		if (s->kind == MASQ_K_FWD)
			MASQ_DO(FN(remove)(s->rev_slot, seq));
		return ret == MASQ_NO_PLACE ? -28 : -17;
	}
	made->tally = s->heir.tally;
	if (s->kind == MASQ_K_KEEP || s->kind == MASQ_K_INBOUND)
		made->back = s->heir.back;
	MASQ_DO(FN(account)(owner, s->kind, 1,
			    masq_flow_state(owner->proto, flow->out_seen,
					    flow->in_seen) == MASQ_ST_CLOSED));
	if (s->kind == MASQ_K_FWD) {
		FN(join)(s->rev_slot, s->owner_slot);
		MASQ_DO(FN(publish)(s->rev_slot));
	}
	MASQ_DO(FN(publish)(s->owner_slot));
	masq_stat(MASQ_S_INHERITED, 1);
	return 0;
}
