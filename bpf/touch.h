/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * touch.h - what a packet changes in the record that it has met: times, the
 * copies in the pair's other record, counts. What shows the flow something new
 * goes to met.h. Included once per family by family.h.
 */

/*
 * Brings the copies in the owner's REV record up to date: with what the owner
 * says now, not with what a packet made of it a moment ago. Two processors may
 * get here in another order than they changed the owner in, and whoever is last
 * has to write what both have seen.
 */
MASQ_GLOBAL int FN(flow_copy)(__u32 owner, __u32 owner_seq)
{
	const struct masq_aside *a = FN(aside)(owner);
	const volatile FLOW *own = FN(slot)(owner);
	struct masq_lock *lock;
	__u32 slot, seq;
	FLOW *f;

	if (!a || !own)
		return 0;
	slot = a->peer;
	seq = a->peer_seq;
	f = FN(slot)(slot);
	lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	if (!f || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (own->seq == (__u16)owner_seq && f->seq == (__u16)seq &&
	    f->what & MASQ_W_LIVE) {
		f->out_seen = own->out_seen;
		f->in_seen = own->in_seen;
		f->expires = own->expires;
	}
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/* E3: today's policy would decide as this owner's did. */
MASQ_GLOBAL int FN(approve)(__u32 slot, __u32 seq, __u32 generation)
{
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	struct masq_aside *a = FN(aside)(slot);
	FLOW *f = FN(slot)(slot);

	if (!f || !a || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (f->seq == (__u16)seq && f->what & MASQ_W_LIVE)
		a->generation = generation;
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/* Moves an owner's expiry on, and notes that its flow is older than two
 * seconds. */
MASQ_GLOBAL int FN(flow_renew)(__u32 slot, __u32 seq, __u32 expires, __u32 late)
{
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	FLOW *f = FN(slot)(slot);

	if (!f || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (f->seq == (__u16)seq && f->what & MASQ_W_LIVE) {
		if ((__s32)(expires - f->expires) > 0)
			f->expires = expires;
		f->out_seen |= late;
		f->in_seen |= late >> 8;
	}
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/*
 * The external port of a pod socket that could not keep its own: remembered
 * under the socket's address alone, and tried first towards every further
 * destination (RFC 4787 REQ-1, endpoint-independent mapping).
 */
MASQ_INLINE void FN(eim_key)(KEY *key, const KEY *fwd)
{
	*key = *fwd;
	key->rem_port = 0;
	__builtin_memset(key->rem_addr, 0, sizeof(key->rem_addr));
}

/* It lasts as long as the flow of this owner, which has that port. */
MASQ_GLOBAL int FN(eim_renew)(__u32 owner, __u32 owner_seq, __u32 expires)
{
	FLOW *f = FN(slot)(owner), *hint;
	__u32 slot;
	KEY key;

	if (!f)
		return 0;
	FN(key_at)(&key, f);
	if (f->seq != (__u16)owner_seq)
		return 0;
	FN(eim_key)(&key, &key);
	slot = FN(find_far)(MASQ_KEY_WORDS(&key));
	hint = FN(slot)(slot);
	if (!hint || hint->what >> MASQ_W_KIND != MASQ_K_EIM ||
	    hint->xlat_port != f->xlat_port)
		return 0;
	return FN(flow_renew)(slot, hint->seq, expires, 0);
}

/*
 * Refreshes a flow that a packet has just used, at most once a tick: sets
 * last_seen, and when a 64th of the timeout has gone by also `expires`, of
 * both records.
 */
MASQ_NOINLINE int FN(flow_touch)(const KEY *key, VIEW *v, __u32 now,
				 enum masq_dir dir)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 timeout, expires, late = 0;
	__u32 owner = v->slot, owner_seq = v->seq;
	struct masq_aside *a;

	v->at->last_seen = now;
	a = FN(aside)(v->slot);
	if (!pol || !a)
		return 0;
	if (key->proto != IPPROTO_TCP &&
	    !((v->out_seen | v->in_seen) & MASQ_SEEN_LATE) && v->out_seen &&
	    v->in_seen && now - a->created >= masq_two_seconds(pol))
		late = dir == MASQ_EGRESS ? MASQ_SEEN_LATE
					  : MASQ_SEEN_LATE << 8;
	timeout = FN(flow_timeout)(pol, key, v->kind, v->out_seen | late,
				   v->in_seen | late >> 8);
	if (!late && !masq_passed(now + timeout, v->expires))
		return 0;
	expires = now + masq_lasting(timeout);
	if (v->kind == MASQ_K_REV &&
	    !FN(peer_of)(v->slot, v->seq, &owner, &owner_seq))
		return 0;
	MASQ_DO(FN(flow_renew)(owner, owner_seq, expires, late));
	if (v->kind == MASQ_K_FWD || v->kind == MASQ_K_REV) {
		MASQ_DO(FN(flow_copy)(owner, owner_seq));
		if (v->xlat_port != key->in_port)
			MASQ_DO(FN(eim_renew)(owner, owner_seq, expires));
	}
	return 1;
}

/* Does this packet only repeat what its flow has seen? Then the record in
 * hand is all it needs. */
MASQ_INLINE bool FN(is_routine)(const PKT *pkt, const VIEW *v,
				const enum masq_dir dir)
{
	__u8 seen = dir == MASQ_EGRESS ? v->out_seen : v->in_seen;

	if (pkt->key.proto == IPPROTO_TCP) {
		__u8 both = v->out_seen & v->in_seen;

		return pkt->class == MASQ_C_ACK && both & MASQ_SEEN_ACK &&
		       !(both & MASQ_SEEN_FIN) &&
		       !((v->out_seen | v->in_seen) & MASQ_SEEN_RST);
	}
	return (seen & MASQ_SEEN_TWO) && v->in_seen && v->out_seen;
}

/*
 * Counts an ingress packet of a KEEP or INBOUND record, in what is another
 * kind's address: so the slot must not become another flow's meanwhile.
 */
MASQ_GLOBAL int FN(count_back)(__u32 slot, __u32 seq, __u32 packets,
			       __u32 bytes)
{
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	FLOW *f = FN(slot)(slot);

	if (!f || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (f->seq == (__u16)seq)
		masq_tally_add(&f->back, packets, bytes);
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/*
 * Counts the packet. Each record counts in its own place: FWD egress, REV
 * ingress, KEEP and INBOUND both.
 */
MASQ_INLINE void FN(flow_count)(struct __sk_buff *skb, const PKT *pkt,
				const VIEW *v, const enum masq_dir dir)
{
	__u32 packets, bytes;

	FN(packet_size)(skb, pkt, &packets, &bytes);
	if (!(masq_features & MASQ_FEAT_NO_FLOW_COUNT)) {
		if (dir == MASQ_EGRESS || v->kind == MASQ_K_REV)
			masq_tally_add(&v->at->tally, packets, bytes);
		else
			MASQ_DO(FN(count_back)(v->slot, v->seq, packets,
					       bytes));
	}
	masq_count_prefix(v->prefix, dir, packets, bytes, 0);
}
