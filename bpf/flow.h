/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flow.h - the life of flows: how a packet sees its record, whose it counts as,
 * how it ends (how long it lasts: timeout.h). It knows no policy of addresses and
 * writes no packet. Included once per family by family.h.
 *
 * A packet reads its record into a VIEW and looks again whether the record was
 * this flow's all the time; what it then does to the packet comes from the
 * VIEW alone. So a slot that is freed and used again under a reader never gives
 * it another flow's address or port. What a packet still writes to the record
 * without a lock (last_seen, pod_ack, tally; `fast` to clear it) may hit a flow
 * that took the slot in that very moment: a count too many there, or a packet
 * by the stack, nothing that decides.
 */

VIEW
{
	FLOW *at;
	/*
	 * First in its eight bytes: before 6.4 the verifier forgets that it was 0
	 * when something that is spilled lies in front of it, and then follows
	 * packets without a record as if they had one.
	 */
	__u8 kind; /* enum masq_kind; 0: no record */
	__u8 out_seen;
	__u8 in_seen;
	__u8 pad;
	__u16 seq;
	__u16 fast;
	__u32 slot; /* MASQ_NO_SLOT: no record */
	__u32 last_seen;
	__u32 expires;
	__u32 prefix;
	__be32 xlat_addr[WORDS];
	__be16 xlat_port;
	__u16 pad2;
	__u32 device;
	__u32 pod_device;
};

/* Reads *f for this key; false: it is not its record any more. */
MASQ_INLINE bool FN(view)(const KEY *key, FLOW *at, VIEW *v)
{
	const volatile FLOW *f = at;
	__u64 word = MASQ_WORD(f);
	__u64 wrong;
	__u32 all;

	MASQ_AFTER(f, word);
	/* since it was found, one with the same ports may have got the slot */
	wrong = ((word ^ FN(word_of)(key)) & MASQ_WORD_MASK) |
		FN(addrs_differ)((const FLOW *)f, key);
	MASQ_AFTER(f, wrong);
	if (unlikely(wrong))
		return false;
	v->at = at;
	v->seq = word >> MASQ_WORD_SEQ;
	v->kind = word >> (MASQ_WORD_WHAT + MASQ_W_KIND) & 15;
	v->out_seen = f->out_seen;
	v->in_seen = f->in_seen;
	v->last_seen = f->last_seen;
	v->expires = f->expires;
	v->prefix = f->prefix;
	v->xlat_addr[0] = f->xlat_addr[0];
#if FAM == 6
	v->xlat_addr[1] = f->xlat_addr[1];
	v->xlat_addr[2] = f->xlat_addr[2];
	v->xlat_addr[3] = f->xlat_addr[3];
#endif
	v->xlat_port = f->xlat_port;
	v->fast = f->fast;
	v->device = f->device;
	v->pod_device = f->pod_device;
#ifndef __TARGET_ARCH_x86
	all = v->out_seen ^ v->in_seen ^ v->last_seen ^ v->expires ^ v->prefix ^
	      v->xlat_addr[0] ^ v->xlat_port ^ v->fast ^ v->device ^
	      v->pod_device;
#if FAM == 6
	all ^= v->xlat_addr[1] ^ v->xlat_addr[2] ^ v->xlat_addr[3];
#endif
#else
	all = 0;
#endif
	MASQ_AFTER(f, all);
	return MASQ_WORD(f) == word;
}

/* Not expired: an expired record behaves as absent everywhere. */
MASQ_INLINE bool FN(live)(const VIEW *v, __u32 now)
{
	return !masq_passed(now, v->expires);
}

/* As see(), where the stack is short and a few nanoseconds are not. */
MASQ_INLINE bool FN(see_out_of_line)(const KEY *key, VIEW *v)
{
	__u32 slot = FN(find_far)(MASQ_KEY_WORDS(key));
	FLOW *f = slot == MASQ_NO_SLOT ? NULL : FN(slot)(slot);

	v->slot = slot;
	if (f && FN(view)(key, f, v))
		return true;
	v->kind = 0;
	return false;
}

/* Once more, after the record changed under the first look. That it does so
 * again within a packet's time means that the key has none that lasts. */
MASQ_NOINLINE int FN(see_again)(const KEY *key, VIEW *v)
{
	return FN(see_out_of_line)(key, v);
}

/* Reads the record of this key into *v, expired or not; false, and kind 0,
 * without one. */
MASQ_INLINE bool FN(see)(const KEY *key, VIEW *v)
{
	__u32 slot = FN(find)(key);
	FLOW *f;

	v->slot = slot;
	v->kind = 0;
	if (slot == MASQ_NO_SLOT)
		return false;
	f = FN(slot)(slot);
	if (unlikely(!f))
		return false;
	return likely(FN(view)(key, f, v)) || FN(see_again)(key, v);
}

/* --- counts of flows ------------------------------------------------------ */

/* What is counted of this address as a pod; its key is left in *pod. */
MASQ_INLINE struct masq_pod_usage *FN(pod_find)(const __be32 *addr,
						struct masq_addr *pod)
{
	__builtin_memset(pod, 0, sizeof(*pod));
	FN(addr_copy)(pod->a, addr);
	return bpf_map_lookup_elem(&masq_pods, pod);
}

MASQ_INLINE int FN(pod_account)(const __be32 *addr, __s32 flows, __s32 closed)
{
	struct masq_pod_usage *u, first = {};
	struct masq_addr pod;

	u = FN(pod_find)(addr, &pod);
	if (!u && flows > 0) {
		/* another processor may be first */
		bpf_map_update_elem(&masq_pods, &pod, &first, BPF_NOEXIST);
		u = bpf_map_lookup_elem(&masq_pods, &pod);
	}
	if (!u)
		return 0;
	/* the end of a flow that was counted in an entry forgotten since */
	if (flows > 0 || (flows && u->flows > 0))
		__sync_fetch_and_add(&u->flows, flows);
	if (closed)
		__sync_fetch_and_add(&u->closed, closed);
	return 0;
}

/* A flow of this pod has closed (1), or is open again (-1). The address comes
 * in words, as a key does in table.h. */
#undef MASQ_ADDR_ARGS
#undef MASQ_ADDR_WORDS
#if FAM == 4
#define MASQ_ADDR_ARGS	      __u32 word
#define MASQ_ADDR_WORDS(addr) (addr)[0]
#else
#define MASQ_ADDR_ARGS	      __u64 high, __u64 low
#define MASQ_ADDR_WORDS(addr) *(const __u64 *)(addr), *(const __u64 *)&(addr)[2]
#endif

MASQ_GLOBAL int FN(pod_closed)(MASQ_ADDR_ARGS, __u32 n)
{
	struct masq_pod_usage *u;
	struct masq_addr pod = {};

#if FAM == 4
	pod.a[0] = word;
#else
	*(__u64 *)pod.a = high;
	*(__u64 *)&pod.a[2] = low;
#endif
	u = bpf_map_lookup_elem(&masq_pods, &pod);
	if (u)
		__sync_fetch_and_add(&u->closed, (__s32)n);
	return 0;
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

/* Does it count for its pod's quota? */
MASQ_INLINE bool FN(has_quota)(__u8 kind, __u8 role)
{
	return kind == MASQ_K_FWD && role != MASQ_ROLE_HOST;
}

/* The flow's share in its budget and in its pod's quota, or its end. */
MASQ_NOINLINE int FN(account)(const KEY *key, __u32 kind, __s32 n, __u32 closed)
{
	struct masq_usage *u = masq_usage_get();
	__u32 budget = masq_budget_of(kind, key->role);

	if (!u || budget >= MASQ_B_MAX)
		return 0;
	__sync_fetch_and_add(&u->flows[FAM == 6][budget], n);
	if (kind == MASQ_K_FWD && key->role == MASQ_ROLE_HOST)
		__sync_fetch_and_add(&u->host, n);
	if (FN(has_quota)(kind, key->role))
		MASQ_DO(FN(pod_account)(key->in_addr, n, closed ? n : 0));
	return 0;
}

/* --- the end of a flow ------------------------------------------------------ */

/* Key of the record that is in a slot. */
MASQ_INLINE void FN(key_at)(KEY *key, const FLOW *f)
{
	__builtin_memset(key, 0, sizeof(*key));
	FN(addr_copy)(key->in_addr, f->in_addr);
	FN(addr_copy)(key->rem_addr, f->rem_addr);
	key->in_port = f->in_port;
	key->rem_port = f->rem_port;
	key->proto = f->proto;
	key->role = f->what & MASQ_W_ROLE;
}

/*
 * The pair's other record. False: the slot is not this record's any more, and
 * what lies aside may be the next one's. The record was seen published.
 */
MASQ_INLINE bool FN(peer_of)(__u32 slot, __u32 seq, __u32 *peer,
			     __u32 *peer_seq)
{
	struct masq_aside *a = FN(aside)(slot);
	FLOW *f = FN(slot)(slot);
	__u64 word, all;

	if (!a || !f)
		return false;
	word = MASQ_WORD(f);
	MASQ_AFTER(a, word);
	*peer = *(volatile __u32 *)&a->peer;
	*peer_seq = *(volatile __u16 *)&a->peer_seq;
	all = *peer ^ *peer_seq;
	MASQ_AFTER(f, all);
	return MASQ_WORD(f) >> MASQ_WORD_SEQ == (__u16)seq;
}

/*
 * Ends the flow whose owner is the record with this seq in the slot: FWD first,
 * so that no packet finds a FWD record whose port is no longer held, then REV.
 * Whoever wins the first does the rest; 1: it was us.
 */
MASQ_GLOBAL int FN(flow_end)(__u32 slot, __u32 seq)
{
	struct masq_aside *a = FN(aside)(slot);
	__u32 peer, peer_seq, kind, last;
	FLOW *f = FN(slot)(slot), *rev;
	__u64 word;
	KEY key;

	if (!f || !a)
		return 0;
	word = MASQ_WORD(f);
	if (word >> MASQ_WORD_SEQ != (__u16)seq ||
	    !(word >> MASQ_WORD_WHAT & MASQ_W_LIVE))
		return 0;
	/* all that follows is this record's, if remove() finds it still there */
	MASQ_AFTER(f, word);
	MASQ_AFTER(a, word);
	kind = word >> (MASQ_WORD_WHAT + MASQ_W_KIND) & 15;
	FN(key_at)(&key, f);
	peer = a->peer;
	peer_seq = a->peer_seq;
	if (kind != MASQ_K_EIM && masq_listened()) {
		rev = kind == MASQ_K_FWD ? FN(slot)(peer) : NULL;
		MASQ_DO(FN(event)(&key, f,
				  rev && rev->seq == peer_seq ? rev : NULL,
				  a->created, MASQ_EVENT(MASQ_EV_END, 0, 0)));
	}
	last = FN(remove)(slot, seq);
	if (!last)
		return 0;
	if (kind == MASQ_K_FWD)
		MASQ_DO(FN(remove)(peer, peer_seq));
	MASQ_DO(FN(account)(&key, kind, -1,
			    masq_flow_state(key.proto, last >> 8, last >> 16) ==
				    MASQ_ST_CLOSED));
	return 1;
}

/*
 * Ends a flow by whichever of its records this is. A REV record whose owner is
 * gone would be removed by who ended that; it is not waited for.
 */
MASQ_GLOBAL int FN(flow_end_any)(__u32 slot, __u32 seq, __u32 kind)
{
	__u32 peer, peer_seq;
	FLOW *owner;

	if (kind != MASQ_K_REV)
		return FN(flow_end)(slot, seq);
	if (!FN(peer_of)(slot, seq, &peer, &peer_seq))
		return 0;
	if (FN(flow_end)(peer, peer_seq))
		return 1;
	owner = FN(slot)(peer);
	if (owner && MASQ_WORD(owner) >> MASQ_WORD_SEQ != peer_seq)
		MASQ_DO(FN(remove)(slot, seq));
	return 0;
}
