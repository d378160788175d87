/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flow.h - the life of flow records: are they alive, which is the other half,
 * how long do they last, how do they end, and the hand that frees memory. It
 * knows no policy of addresses and writes no packet. Included once per family
 * by family.h.
 *
 * Accepted race: records are preallocated and reused at once, so a packet
 * that holds a record while another processor ends it may still count into
 * it. Expired records are only freed a tick after every reader treats them as
 * absent; a live record ends early only by flush, a policy flip of an
 * unanswered opener, or pressure on an unanswered or closed flow.
 */

MASQ_INLINE bool FN(flow_live)(const FLOW *f, __u32 now)
{
	return !masq_passed(now, f->expires);
}

MASQ_INLINE bool FN(flow_is_owner)(const FLOW *f)
{
	return f->kind != MASQ_K_REV;
}

/*
 * Key of the other record of a masqueraded flow, from either one: each
 * record's xlat is the other's inside address and port.
 */
MASQ_INLINE void FN(peer_key)(KEY *peer, const KEY *key, const FLOW *f)
{
	*peer = *key;
	FN(addr_copy)(peer->in_addr, f->xlat_addr);
	peer->in_port = f->xlat_port;
	peer->role = MASQ_ROLE_FLOW;
	if (f->kind == MASQ_K_REV && FN(addr_equal)(f->xlat_addr, key->in_addr))
		peer->role = MASQ_ROLE_HOST;
}

/* The other record, its key in *pk; NULL: gone, or another flow's by now. */
MASQ_INLINE FLOW *FN(peer)(const KEY *key, const FLOW *f, KEY *pk)
{
	FLOW *p;

	FN(peer_key)(pk, key, f);
	p = bpf_map_lookup_elem(&FLOWS, pk);
	if (!p || p->xlat_port != key->in_port ||
	    !FN(addr_equal)(p->xlat_addr, key->in_addr) ||
	    (p->kind != MASQ_K_FWD && p->kind != MASQ_K_REV))
		return NULL;
	return p;
}

/*
 * RFC 6146 section 3.5.2 reduced to what both directions have shown. Half
 * closed is still in use. A RST closes, and any later packet that is no RST
 * takes that back (RFC 7857 section 2.2).
 */
MASQ_INLINE __u8 FN(flow_state)(__u8 proto, __u8 out, __u8 in)
{
	if (proto != IPPROTO_TCP)
		return out & in & MASQ_SEEN_TWO ? MASQ_ST_ESTABLISHED
						: MASQ_ST_NEW;
	if ((out | in) & MASQ_SEEN_RST)
		return MASQ_ST_CLOSED;
	if (out & in & MASQ_SEEN_FIN)
		return MASQ_ST_CLOSED;
	if (!(out & in & MASQ_SEEN_ACK))
		return MASQ_ST_NEW;
	return (out | in) & MASQ_SEEN_FIN ? MASQ_ST_CLOSING
					  : MASQ_ST_ESTABLISHED;
}

/* Ticks that a flow may be idle: RFC 4787 REQ-5, 5382 REQ-5, 5508 REQ-2. */
MASQ_INLINE __u32 FN(flow_timeout)(const struct masq_policy *pol, __u8 proto,
				   __u8 kind, __u8 state, __u8 out, __u8 in)
{
	/* nobody answered a flow from outside: a quarter of the shortest */
	if (kind == MASQ_K_INBOUND && !out)
		return pol->timeout[MASQ_T_UDP_UNREPLIED] / 4;
	switch (proto) {
	case IPPROTO_TCP:
		return state == MASQ_ST_ESTABLISHED || state == MASQ_ST_CLOSING
			       ? pol->timeout[MASQ_T_TCP_ESTABLISHED]
			       : pol->timeout[MASQ_T_TCP_TRANSITORY];
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return out && in ? pol->timeout[MASQ_T_UDP]
				 : pol->timeout[MASQ_T_UDP_UNREPLIED];
	case PROTO_ICMP:
		return pol->timeout[MASQ_T_ICMP];
	default:
		return pol->timeout[MASQ_T_OTHER];
	}
}

/* `expires` for a flow seen now: the sixty-fourth covers packets that do not
 * refresh (flow_touch). */
MASQ_INLINE __u32 FN(flow_expiry)(__u32 now, __u32 timeout)
{
	return now + timeout + timeout / 64 + 1;
}

/* What is counted of this address as a pod; its key is left in *pod. */
MASQ_INLINE struct masq_pod_usage *FN(pod_find)(const __be32 *addr,
						struct masq_addr *pod)
{
	__builtin_memset(pod, 0, sizeof(*pod));
	FN(addr_copy)(pod->a, addr);
	return bpf_map_lookup_elem(&masq_pods, pod);
}

MASQ_INLINE void FN(pod_usage)(const __be32 *addr, __s32 n)
{
	struct masq_pod_usage *u, first = {};
	struct masq_addr pod;

	u = FN(pod_find)(addr, &pod);
	if (!u && n > 0) {
		/* another processor may be first */
		bpf_map_update_elem(&masq_pods, &pod, &first, BPF_NOEXIST);
		u = bpf_map_lookup_elem(&masq_pods, &pod);
	}
	/* the end of a flow that was counted in an entry forgotten since */
	if (u && (n > 0 || u->flows > 0))
		__sync_fetch_and_add(&u->flows, n);
}

/*
 * Has this address flows as a pod? Then it has been found not to be the
 * node's own, and the FIB is not asked again as long as there are any.
 */
MASQ_INLINE bool FN(is_known_pod)(const __be32 *addr)
{
	struct masq_pod_usage *u;
	struct masq_addr pod;

	u = FN(pod_find)(addr, &pod);
	return u && u->flows > 0;
}

/* The flow's share in the totals and in its pod's quota. */
MASQ_NOINLINE int FN(flow_account)(const KEY *key, __u32 kind, __s32 n)
{
	struct masq_usage *u = masq_usage_get();

	if (!u)
		return 0;
	if (kind == MASQ_K_EIM) {
		__sync_fetch_and_add(&u->eim, n);
		return 0;
	}
	__sync_fetch_and_add(&u->flows, n);
	if (kind == MASQ_K_INBOUND)
		__sync_fetch_and_add(&u->inbound, n);
	else if (key->role == MASQ_ROLE_HOST)
		__sync_fetch_and_add(&u->host, n);
	else if (kind != MASQ_K_RESERVED)
		FN(pod_usage)(key->in_addr, n);
	return 0;
}

/*
 * Ends the flow whose owner is *f under *key: FWD first, so that no packet
 * finds a FWD record whose port is no longer held, then REV. Whoever wins the
 * first deletion does the rest.
 */
MASQ_NOINLINE int FN(flow_end)(const KEY *key, FLOW *f)
{
	__u8 kind = f->kind;
	FLOW *rev = NULL;
	KEY peer;

	if (kind == MASQ_K_FWD)
		rev = FN(peer)(key, f, &peer);
	if (kind != MASQ_K_EIM) {
		if (rev) /* for the event: one record tells both directions */
			f->ingress = rev->ingress;
		MASQ_DO(FN(event)(key, f, MASQ_EV_END, 0, 0));
	}
	if (bpf_map_delete_elem(&FLOWS, key))
		return 0;
	if (rev)
		bpf_map_delete_elem(&FLOWS, &peer);
	MASQ_DO(FN(flow_account)(key, kind, -1));
	return 1;
}

/* Ends the flow to which a REV record belongs, or just the record when its
 * owner is gone. *key is room for the owner's key. */
MASQ_INLINE void FN(rev_end)(const KEY *rev, FLOW *r, KEY *key)
{
	FLOW *owner = FN(peer)(rev, r, key);

	if (!owner) {
		bpf_map_delete_elem(&FLOWS, rev);
		return;
	}
	MASQ_DO(FN(flow_end)(key, owner));
}

/* Ends a flow by whichever of its records is in hand. */
MASQ_NOINLINE int FN(flow_end_any)(const KEY *key, FLOW *f)
{
	KEY owner;

	if (f->kind == MASQ_K_REV)
		FN(rev_end)(key, f, &owner);
	else
		MASQ_DO(FN(flow_end)(key, f));
	return 0;
}

/* May a flow be ended to make room? Contract: established ones never. */
MASQ_INLINE bool FN(flow_reclaimable)(const FLOW *f)
{
	return f->state == MASQ_ST_NEW || f->state == MASQ_ST_CLOSED;
}

/* When the hand has to look at a flow next, unless it is under pressure. */
MASQ_INLINE __u32 FN(hand_look)(__u32 now, __u32 expires)
{
	return masq_passed(now + MASQ_HAND_REST, expires + 1)
		       ? expires + 1
		       : now + MASQ_HAND_REST;
}

MASQ_NOINLINE int FN(ring_push)(const KEY *key, __u32 created, __u32 look)
{
	struct masq_usage *u = masq_usage_get();
	SLOT slot;

	slot.key = *key;
	slot.created = created;
	slot.look = look;
	if (bpf_map_push_elem(&RING, &slot, 0))
		return 0;
	if (u)
		__sync_fetch_and_add(&u->ring[FAM == 6], 1);
	return 1;
}

/*
 * One step of the reclaim hand: takes the oldest key from the ring and frees
 * its flow or puts it back. Returns what it did with it.
 */
MASQ_GLOBAL int FN(reclaim_one)(__u32 now, __u32 pressure)
{
	struct masq_usage *u = masq_usage_get();
	SLOT slot;
	FLOW *f;

	if (bpf_map_pop_elem(&RING, &slot))
		return MASQ_HAND_EMPTY;
	if (u)
		__sync_fetch_and_add(&u->ring[FAM == 6], -1);
	if (!pressure && !masq_passed(now, slot.look) &&
	    FN(ring_push)(&slot.key, slot.created, slot.look))
		return MASQ_HAND_KEPT;
	f = bpf_map_lookup_elem(&FLOWS, &slot.key);
	if (!f || !FN(flow_is_owner)(f) || f->created != slot.created)
		/* ended before: a slot of the ring, no room in the table */
		return pressure == MASQ_PRESSURE_TABLE ? MASQ_HAND_KEPT
						       : MASQ_HAND_FREED;
	/* a tick of grace: nobody may still be using it */
	if (masq_passed(now, f->expires + 1)) {
		if (f->kind != MASQ_K_EIM)
			masq_stat(MASQ_S_EXPIRED, 1);
		MASQ_DO(FN(flow_end)(&slot.key, f));
		return MASQ_HAND_FREED;
	}
	if (f->kind == MASQ_K_EIM ? pressure
				  : pressure == MASQ_PRESSURE_TABLE &&
					    FN(flow_reclaimable)(f)) {
		masq_stat(MASQ_S_RECLAIMED, 1);
		MASQ_DO(FN(flow_end)(&slot.key, f));
		return MASQ_HAND_FREED;
	}
	/*
	 * New flows leave MASQ_RING_RESERVE slots free for this; should it
	 * fail all the same, the record would never be found again.
	 */
	if (!FN(ring_push)(&slot.key, slot.created,
			   FN(hand_look)(now, f->expires)))
		MASQ_DO(FN(flow_end)(&slot.key, f));
	return MASQ_HAND_KEPT;
}

#ifdef MASQ_MODERN
static long FN(reclaim_step)(__u32 i, __u32 *slot)
{
	struct masq_scratch *s = masq_scratch_get(*slot & 1);
	int did;

	if (!s)
		return 1;
	did = FN(reclaim_one)(s->now, s->pressure);
	if (did == MASQ_HAND_FREED)
		s->freed++;
	return did == MASQ_HAND_EMPTY || s->freed >= s->want;
}
#endif

/*
 * Moves the hand up to `budget` keys on, until `want` have been freed; the
 * time is that of the scratch slot. Kernels without bpf_loop do at most
 * MASQ_HAND_LEGACY steps.
 */
MASQ_GLOBAL __u32 FN(reclaim)(__u32 slot, __u32 budget, __u32 want,
			      __u32 pressure)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);

	if (!s)
		return 0;
	s->freed = 0;
	s->want = want;
	s->pressure = pressure;
#ifdef MASQ_MODERN
	bpf_loop(budget, FN(reclaim_step), &slot, 0);
#else
	for (__u32 i = 0; i < MASQ_HAND_LEGACY; i++) {
		int did;

		if (i >= budget || s->freed >= want)
			break;
		did = FN(reclaim_one)(s->now, pressure);
		if (did == MASQ_HAND_EMPTY)
			break;
		if (did == MASQ_HAND_FREED)
			s->freed++;
	}
#endif
	return s->freed;
}

/*
 * Refreshes a flow that a packet has just used, at most once a tick: sets
 * last_seen, and when a 64th of the timeout has gone by also `expires`,
 * of both records.
 */
MASQ_NOINLINE int FN(flow_touch)(const KEY *key, FLOW *f, __u32 now)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 timeout;
	FLOW *peer;
	KEY pk;

	f->last_seen = now;
	if (!pol)
		return 0;
	timeout = FN(flow_timeout)(pol, key->proto, f->kind, f->state,
				   f->out_seen, f->in_seen);
	if (!masq_passed(now + timeout, f->expires))
		return 0;
	f->expires = FN(flow_expiry)(now, timeout);
	if (f->kind == MASQ_K_FWD || f->kind == MASQ_K_REV) {
		peer = FN(peer)(key, f, &pk);
		if (peer)
			peer->expires = f->expires;
	}
	return 1;
}

/* Does this packet only repeat what its flow has seen? Then the record in
 * hand is all it needs. */
MASQ_INLINE bool FN(is_routine)(const PKT *pkt, const FLOW *f,
				const enum masq_dir dir)
{
	__u8 seen = dir == MASQ_EGRESS ? f->out_seen : f->in_seen;

	if (pkt->key.proto == IPPROTO_TCP)
		return pkt->class == MASQ_C_ACK && (seen & MASQ_SEEN_ACK) &&
		       (f->state == MASQ_ST_ESTABLISHED ||
			f->state == MASQ_ST_CLOSING);
	return (seen & MASQ_SEEN_TWO) && (f->in_seen && f->out_seen);
}

/* Counts the packet and brings its record up to date, the common way. */
MASQ_INLINE void FN(flow_count)(struct __sk_buff *skb, const PKT *pkt, FLOW *f,
				const enum masq_dir dir)
{
	struct masq_count *c = dir == MASQ_EGRESS ? &f->egress : &f->ingress;
	__u32 packets, bytes;

	FN(packet_size)(skb, pkt, &packets, &bytes);
	/* not atomic: two processors in one direction of one flow may lose a
	 * count here, never in the per-CPU prefix counters */
	if (!(masq_features & MASQ_FEAT_NO_FLOW_COUNT)) {
		c->packets += packets;
		c->bytes += bytes;
	}
	masq_count_prefix(f->prefix, dir, packets, bytes, 0);
}
