/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * record.h - making, publishing and removing a record of the flow table; table.h
 * has the picture. Each step is one turn of the stripe's lock. Included once per
 * family by family.h.
 */

/* Under the lock: the record's first step. `hops` stays the slot's. */
MASQ_INLINE void FN(fill)(FLOW *f, const KEY *key, const FLOW *body)
{
	__u64 seq = MASQ_WORD(f) >> MASQ_WORD_SEQ << MASQ_WORD_SEQ;

	/* taken, and no reader's, before anything else of it changes */
	MASQ_WORD(f) = *(const __u64 *)&key->in_port | seq |
		       (__u64)(MASQ_W_MADE | body->what) << MASQ_WORD_WHAT;
	FN(addr_copy)(f->in_addr, key->in_addr);
	FN(addr_copy)(f->rem_addr, key->rem_addr);
	f->last_seen = body->last_seen;
	f->expires = body->expires;
	f->out_seen = body->out_seen;
	f->in_seen = body->in_seen;
	f->prefix = body->prefix;
	FN(addr_copy)(f->xlat_addr, body->xlat_addr);
	f->xlat_port = body->xlat_port;
	f->fast = 0;
	f->device = body->device;
	f->pod_ack = body->pod_ack;
	f->tally.packets = 0;
	f->tally.bytes = 0;
	f->tally.high = 0;
	f->pod_device = body->pod_device;
}

/* Under the lock: place in the page of this key, published or not. */
MASQ_INLINE __u32 FN(taken_around)(PAGE *p, __u32 home, const KEY *key)
{
	return FN(around)(p, home, p->slot[home & (MASQ_PAGE_SLOTS - 1)].hops,
			  key, true);
}

/* Under the lock: how far from home the next free slot is; MASQ_HOPS: none. */
MASQ_INLINE __u32 FN(nearest)(const PAGE *p, __u32 home)
{
	__u64 used = *(const volatile __u64 *)&p->label.used;
	__u32 free;

	home &= MASQ_PAGE_SLOTS - 1;
	/* two shifts, since one by 64 would be none */
	used = used >> home | used << 1 << (MASQ_PAGE_SLOTS - 1 - home);
	free = ~(__u32)used & (MASQ_HOP_ELSEWHERE - 1);
	return free ? masq_lowest(free) : MASQ_HOPS;
}

/* What a new record adds to its page's label: nothing for a REV record, which
 * its owner ends. */
struct FN(news) {
	__u64 pods;
	__u32 soonest;
};

MASQ_INLINE void FN(news)(const KEY *key, const FLOW *body,
			  struct FN(news) * news)
{
	bool owner = body->what >> MASQ_W_KIND != MASQ_K_REV;

	news->pods = owner ? FN(pod_bit)(key->in_addr) : 0;
	news->soonest = body->expires + (owner ? 0 : MASQ_FAR_AHEAD);
}

/* Under the lock: takes the slot at this distance from home. */
MASQ_INLINE __u32 FN(take)(PAGE *p, __u32 home, __u32 distance, const KEY *key,
			   const FLOW *body, const struct FN(news) * news)
{
	__u32 at = (home + distance) & (MASQ_PAGE_SLOTS - 1);

	FN(fill)(&p->slot[at], key, body);
	p->slot[home & (MASQ_PAGE_SLOTS - 1)].hops |= 1 << (distance & 15);
	p->label.used |= 1ULL << at;
	p->label.pods |= news->pods;
	if ((__s32)(p->label.soonest - news->soonest) > 0)
		p->label.soonest = news->soonest;
	p->label.changes++;
	return at;
}

/* What is said of a key that is there already. */
MASQ_INLINE int FN(there)(const FLOW *f)
{
	return f->what & MASQ_W_LIVE ? MASQ_THERE : MASQ_UNDER_WAY;
}

/*
 * The first page alone: MASQ_FAR when it is full around home, or when some of
 * home's records lie elsewhere and have to be looked at.
 */
MASQ_NOINLINE int FN(make_near)(const KEY *key, const FLOW *body, __u32 *slot)
{
	__u32 found, distance;
	struct masq_lock *lock;
	struct FN(place) at;
	struct FN(news) news;
	int ret = MASQ_MADE;
	PAGE *p;

	FN(news)(key, body, &news);
	FN(place)(key, &at);
	p = FN(page)(at.first);
	lock = bpf_map_lookup_elem(&masq_locks, &at.lock);
	if (!p || !lock)
		return MASQ_NO_PLACE;
	bpf_spin_lock(&lock->lock);
	found = FN(taken_around)(p, at.home, key);
	if (unlikely(found != MASQ_NO_SLOT)) {
		ret = FN(there)(&p->slot[found & (MASQ_PAGE_SLOTS - 1)]);
	} else {
		distance = FN(nearest)(p, at.home);
		if (unlikely(distance >= MASQ_HOPS ||
			     p->slot[at.home & (MASQ_PAGE_SLOTS - 1)].hops &
				     MASQ_HOP_ELSEWHERE))
			ret = MASQ_FAR;
		else
			found = FN(take)(p, at.home, distance, key, body,
					 &news);
	}
	bpf_spin_unlock(&lock->lock);
	*slot = at.first << MASQ_PAGE_SHIFT | found;
	return ret;
}

/* All three pages. */
MASQ_NOINLINE int FN(make_far)(const KEY *key, const FLOW *body, __u32 *slot)
{
	__u32 found, distance, page = 0;
	struct masq_lock *lock;
	PAGE *p1, *p2, *p3;
	struct FN(place) at;
	struct FN(news) news;
	int ret = MASQ_MADE;

	FN(news)(key, body, &news);
	FN(place)(key, &at);
	p1 = FN(page)(at.first);
	p2 = FN(page)(at.second);
	p3 = FN(page)(at.overflow);
	lock = bpf_map_lookup_elem(&masq_locks, &at.lock);
	if (!p1 || !p2 || !p3 || !lock)
		return MASQ_NO_PLACE;
	bpf_spin_lock(&lock->lock);
	found = FN(taken_around)(p1, at.home, key);
	if (found != MASQ_NO_SLOT) {
		ret = FN(there)(&p1->slot[found & (MASQ_PAGE_SLOTS - 1)]);
		goto out;
	}
	found = FN(taken_around)(p2, at.home, key);
	if (found != MASQ_NO_SLOT) {
		ret = FN(there)(&p2->slot[found & (MASQ_PAGE_SLOTS - 1)]);
		goto out;
	}
	found = FN(taken_around)(p3, at.home, key);
	if (found != MASQ_NO_SLOT) {
		ret = FN(there)(&p3->slot[found & (MASQ_PAGE_SLOTS - 1)]);
		goto out;
	}
	distance = FN(nearest)(p1, at.home);
	if (distance < MASQ_HOPS) {
		found = FN(take)(p1, at.home, distance, key, body, &news);
		page = at.first;
		goto out;
	}
	distance = FN(nearest)(p2, at.home);
	if (distance < MASQ_HOPS) {
		found = FN(take)(p2, at.home, distance, key, body, &news);
		page = at.second;
	} else {
		distance = FN(nearest)(p3, at.home);
		if (distance >= MASQ_HOPS) {
			ret = MASQ_NO_PLACE;
			goto out;
		}
		found = FN(take)(p3, at.home, distance, key, body, &news);
		page = at.overflow;
		p2->label.elsewhere++;
		p2->label.flagged = 1;
		p2->slot[at.home & (MASQ_PAGE_SLOTS - 1)].hops |=
			MASQ_HOP_ELSEWHERE;
	}
	p1->label.elsewhere++;
	p1->label.flagged = 1;
	p1->slot[at.home & (MASQ_PAGE_SLOTS - 1)].hops |= MASQ_HOP_ELSEWHERE;
out:
	bpf_spin_unlock(&lock->lock);
	*slot = page << MASQ_PAGE_SHIFT | found;
	return ret;
}

#ifndef MASQ_RECORDS
#define MASQ_RECORDS
/* Which record of the scratch slot is to be made. */
enum masq_record {
	MASQ_OWNER,
	MASQ_REV,
	MASQ_EIM,
};
#endif

/*
 * Has the processor fetch what making a record of this key will touch: its home,
 * its page's label, its place aside. Each lies in a page of memory of its own,
 * and one after the other they would be most of what a new flow costs. Nothing
 * waits for these loads but the retirement of what follows them.
 */
MASQ_INLINE void FN(fetch)(const KEY *key)
{
	struct masq_aside *a;
	struct FN(place) at;
	PAGE *p;

	FN(place)(key, &at);
	p = FN(page)(at.first);
	a = FN(aside)(at.first << MASQ_PAGE_SHIFT | at.home);
	if (!p || !a)
		return;
	(void)MASQ_WORD(&p->slot[at.home & (MASQ_PAGE_SLOTS - 1)]);
	(void)*(volatile __u32 *)&p->label.changes;
	(void)*(volatile __u32 *)&a->created;
}

/*
 * The same for both records of the flow in scratch->owner, should it be
 * translated to scratch->ahead and keep its port: all at once, which takes hardly
 * longer than one of these lines. Where a flow is expected (a packet without a
 * record, as the one before was that opened a flow), that is while the look for
 * the record still waits for its home.
 */
MASQ_GLOBAL int FN(fetch_pair)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY key;

	if (!s)
		return 0;
	key = *(KEY *)&s->owner;
	FN(fetch)(&key);
	FN(addr_copy)(key.in_addr, s->ahead);
	FN(fetch)(&key);
	s->fetched = 1;
	return 0;
}

/* Of a packet that has no record, before it is decided what becomes of it. */
MASQ_INLINE void FN(fetch_ahead)(const PKT *pkt)
{
	struct masq_scratch *s = masq_scratch_get(0);

	if (!s)
		return;
	s->fetched = 0;
	if (s->expected != FAM || pkt->class != MASQ_C_OPENER)
		return;
	s->expected = 0;
	*(KEY *)&s->owner = pkt->key;
	MASQ_DO(FN(fetch_pair)(0));
}

/* Under no lock: what lies aside of a record that is being made. */
MASQ_INLINE void FN(put_aside)(__u32 slot, const struct masq_aside *from)
{
	struct masq_aside *a = FN(aside)(slot);

	if (!a)
		return;
#ifdef __TARGET_ARCH_x86
	*a = *from;
#else
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);

	if (!lock)
		return;
	bpf_spin_lock(&lock->lock);
	a->created = from->created;
	a->generation = from->generation;
	a->peer = from->peer;
	a->peer_seq = from->peer_seq;
	a->flags = from->flags;
	bpf_spin_unlock(&lock->lock);
#endif
}

/*
 * Takes a slot for one of the keys in the scratch slot (enum masq_record), and
 * fills it from its `flow` and `aside`. Readers do not see it before publish(),
 * and nobody else can make a record of this key. MASQ_MADE and the slot's
 * number in owner_slot or rev_slot, or why not.
 */
MASQ_GLOBAL int FN(make_record)(__u32 slot, __u32 which)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 made = MASQ_NO_SLOT;
	KEY *key;
	int ret;

	if (!s)
		return MASQ_NO_PLACE;
	key = which == MASQ_OWNER ? (KEY *)&s->owner
	      : which == MASQ_REV ? (KEY *)&s->rev
				  : (KEY *)&s->hint;
	ret = FN(make_near)(key, (FLOW *)&s->flow, &made);
	if (unlikely(ret == MASQ_FAR)) {
		ret = FN(make_far)(key, (FLOW *)&s->flow, &made);
		if (!ret)
			masq_stat(MASQ_S_SPILLED, 1);
		if (!ret && made >> MASQ_PAGE_SHIFT >=
				    MASQ_SHAPE.stripes * MASQ_SHAPE.ways)
			masq_stat(MASQ_S_OVERFLOWED, 1);
	}
	if (ret)
		return ret;
	FN(put_aside)(made, &s->aside);
	if (which == MASQ_OWNER)
		s->owner_slot = made;
	else
		s->rev_slot = made;
	return 0;
}

/*
 * Shows a record to readers, who then find all of it: its body was written
 * under a lock that has been let go since, and stores stay in order over
 * unlock and lock of one lock (the kernel's memory model). On x86 they do
 * anyway.
 */
MASQ_GLOBAL int FN(publish)(__u32 slot)
{
	FLOW *f = FN(slot)(slot);
	__u8 what;

	if (!f)
		return 0;
	what = (f->what & ~MASQ_W_MADE) | MASQ_W_LIVE;
#ifdef __TARGET_ARCH_x86
	asm volatile("" : : : "memory");
	*(volatile __u8 *)&f->what = what;
#else
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);

	if (!lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	*(volatile __u8 *)&f->what = what;
	bpf_spin_unlock(&lock->lock);
#endif
	return 1;
}

/* Tells a record that is being made which the pair's other one is. */
MASQ_INLINE void FN(join)(__u32 slot, __u32 peer)
{
	struct masq_aside *a = FN(aside)(slot);
	FLOW *p = FN(slot)(peer);

	if (!a || !p)
		return;
#ifdef __TARGET_ARCH_x86
	a->peer = peer;
	a->peer_seq = p->seq;
#else
	struct masq_lock *lock = FN(page_lock)(slot >> MASQ_PAGE_SHIFT);
	__u16 seq = p->seq;

	if (!lock)
		return;
	bpf_spin_lock(&lock->lock);
	a->peer = peer;
	a->peer_seq = seq;
	bpf_spin_unlock(&lock->lock);
#endif
}

/*
 * Removes the record that has this seq in the slot. 0: somebody else has. Else
 * this processor did it, and what hangs on it is this processor's to do: the
 * answer's second byte is out_seen, the third in_seen, as they were at the end.
 */
MASQ_GLOBAL __u32 FN(remove)(__u32 slot, __u32 seq)
{
	__u32 page = slot >> MASQ_PAGE_SHIFT, i = slot & (MASQ_PAGE_SLOTS - 1);
	struct masq_lock *lock;
	struct FN(place) at;
	PAGE *p, *p1, *p2;
	__u32 did = 0;
	KEY key = {};
	__u64 word;
	FLOW *f;

	p = FN(page)(page);
	if (!p)
		return 0;
	f = &p->slot[i];
	word = MASQ_WORD(f);
	if (word >> MASQ_WORD_SEQ != (__u16)seq)
		return 0;
	MASQ_AFTER(f, word);
	FN(addr_copy)(key.in_addr, f->in_addr);
	FN(addr_copy)(key.rem_addr, f->rem_addr);
	key.in_port = (__be16)word;
	key.rem_port = (__be16)(word >> 16);
	key.proto = word >> 32;
	key.role = word >> MASQ_WORD_WHAT & MASQ_W_ROLE;
	FN(place)(&key, &at);
	p1 = FN(page)(at.first);
	p2 = FN(page)(at.second);
	lock = bpf_map_lookup_elem(&masq_locks, &at.lock);
	if (!p1 || !p2 || !lock)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (MASQ_WORD(f) >> MASQ_WORD_SEQ == (__u16)seq &&
	    f->what & (MASQ_W_LIVE | MASQ_W_MADE)) {
		did = 1 | f->out_seen << 8 | f->in_seen << 16;
		MASQ_WORD(f) = (__u64)(__u16)(seq + 1) << MASQ_WORD_SEQ;
		p->slot[at.home & (MASQ_PAGE_SLOTS - 1)].hops &=
			~(1 << ((i - at.home) & 15));
		p->label.used &= ~(1ULL << i);
		if (page != at.first) {
			p1->label.elsewhere--;
			if (page != at.second)
				p2->label.elsewhere--;
		}
	}
	bpf_spin_unlock(&lock->lock);
	return did;
}
