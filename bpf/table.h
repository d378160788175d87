/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - the flow table: slots, their keys, their locks. It knows no state
 * of flows and writes no packet. Included once per family by family.h;
 * docs/design.md has the picture, tests/model/table.pml the proof.
 *
 * A key's hash names two pages of one stripe and one place (home) that is the
 * same in both. A record lies in its home or in one of the MASQ_HOPS - 1 slots
 * after it, of the first page, else of the second, else of the stripe's
 * overflow page. The home's `hops` say in which of them to look, so a record is
 * found in one line when it lies at home, and an absent one costs one line when
 * nobody's home is there. Records never move.
 *
 * Readers take no lock. A record is made in three steps: taken (MASQ_W_MADE)
 * and filled under the lock of its stripe, in which step one processor wins;
 * published (MASQ_W_LIVE); removed under the lock, by whoever finds `seq` as
 * expected, which is one. bpf_spin_lock (kernel 5.1) allows one lock at a time
 * and no call while it is held: so all pointers are fetched before.
 */

struct FN(place) {
	__u32 first; /* page */
	__u32 second;
	__u32 overflow;
	__u32 lock;
	__u32 home; /* slot in each of them */
};

/* The word of a record, or as a key asks for it, without kind and seq. */
#define MASQ_WORD(p)   (*(volatile __u64 *)&(p)->in_port)
#define MASQ_WORD_SEQ  48
#define MASQ_WORD_WHAT 40
#define MASQ_WORD_MASK                                                       \
	(((1ULL << MASQ_WORD_WHAT) - 1) | (__u64)(MASQ_W_ROLE | MASQ_W_LIVE) \
						  << MASQ_WORD_WHAT)
#define MASQ_WORD_TAKEN_MASK \
	(((1ULL << MASQ_WORD_WHAT) - 1) | (__u64)MASQ_W_ROLE << MASQ_WORD_WHAT)

/*
 * What is read through *p comes after the load of `value`, on weakly ordered
 * processors as well: an address dependency, which needs no barrier.
 */
#ifdef __TARGET_ARCH_x86
#define MASQ_AFTER(p, value) asm volatile("" : : "r"((__u64)(value)) : "memory")
#else
#define MASQ_AFTER(p, value)                        \
	do {                                        \
		__u64 zero_ = (value);              \
		asm volatile("%0 &= 0\n%1 += %0"    \
			     : "+r"(zero_), "+r"(p) \
			     :                      \
			     : "memory");           \
	} while (0)
#endif

#ifndef MASQ_TABLE
#define MASQ_TABLE
const volatile struct masq_shape masq_shape_v4 = { 1, 2 };
const volatile struct masq_shape masq_shape_v6 = { 1, 2 };
const volatile __u64 masq_hash_key[MASQ_HASH_KEYS] = {};

/* Answers of make_record. */
enum {
	MASQ_MADE,
	MASQ_THERE = -17, /* EEXIST: the key has a live record */
	MASQ_UNDER_WAY =
		-16, /* EBUSY: another processor is making or ending it */
	MASQ_NO_PLACE = -28, /* ENOSPC: all its places are taken */
	MASQ_FAR = 1, /* the first page does not do */
};

/* Number of the lowest bit of a 16-bit word that is not 0. */
MASQ_INLINE __u32 masq_lowest(__u32 bits)
{
	/* de Bruijn: each one-bit word times it has other top four bits */
	__u32 at = ((bits & -bits) * 0x09afU & 0xffff) >> 12;

	return 0xcd7ea84fb6935210ULL >> (at * 4) & 15;
}

/* Ends the mixing of a hash: murmur3's finalizer. */
MASQ_INLINE __u64 masq_mix(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}
#endif

/*
 * Multilinear hashing modulo 2^64 (Lemire and Kaser, "Strongly universal string
 * hashing is fast"): two keys collide in all 64 bits with a probability of
 * 2^-32 at most, whoever chooses them without knowing masq_hash_key. The mixing
 * that follows spreads what is left of arithmetic in them.
 */
MASQ_INLINE __u64 FN(hash_by)(const volatile __u64 *keys, const KEY *key)
{
	const __u32 *w = (const __u32 *)key;
	__u64 h = keys[0];

#pragma unroll
	for (int i = 0; i < (int)sizeof(KEY) / 4; i++)
		h += keys[i + 1] * w[i];
	return masq_mix(h);
}

MASQ_INLINE __u64 FN(hash)(const KEY *key)
{
	return FN(hash_by)(masq_hash_key, key);
}

/* In which of 64 classes of pods an address is; see struct masq_label. */
MASQ_INLINE __u64 FN(pod_bit)(const __be32 *addr)
{
	__u64 h = masq_hash_key[0];

#pragma unroll
	for (int i = 0; i < WORDS; i++)
		h += masq_hash_key[i + 1] * addr[i];
	return 1ULL << (masq_mix(h) >> 58);
}

MASQ_INLINE void FN(place_in)(const __u32 stripes, const __u32 ways, __u64 h,
			      struct FN(place) * at)
{
	__u32 stripe = (h & 0xffffffff) * stripes >> 32;
	__u32 way = ((__u32)(h >> 32) & 0xffff) * ways >> 16;
	__u32 other = ((__u32)(h >> 48) & 0x3ff) * (ways - 1) >> 10;

	if (other >= way)
		other++;
	at->home = h >> 58;
	at->first = way * stripes + stripe;
	at->second = other * stripes + stripe;
	at->overflow = ways * stripes + stripe;
	at->lock = stripe & (MASQ_LOCKS - 1);
}

MASQ_INLINE void FN(place)(const KEY *key, struct FN(place) * at)
{
	FN(place_in)(MASQ_SHAPE.stripes, MASQ_SHAPE.ways, FN(hash)(key), at);
}

/* The word that a published record of this key has. */
MASQ_INLINE __u64 FN(word_of)(const KEY *key)
{
	return *(const __u64 *)&key->in_port | (__u64)MASQ_W_LIVE
						       << MASQ_WORD_WHAT;
}

/* How a record's addresses differ from the key's; 0: not at all. */
MASQ_INLINE __u64 FN(addrs_differ)(const FLOW *f, const KEY *key)
{
	const volatile __u64 *a = (const volatile __u64 *)f->in_addr;
	const __u64 *b = (const __u64 *)key->in_addr;

#if FAM == 4
	return a[0] ^ b[0];
#else
	return (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);
#endif
}

/* For readers: is it a published record of this key? The word is published
 * last, so it is read first. */
MASQ_INLINE bool FN(is)(const FLOW *f, const KEY *key)
{
	__u64 word = MASQ_WORD(f);

	MASQ_AFTER(f, word);
	return !(((word ^ FN(word_of)(key)) & MASQ_WORD_MASK) |
		 FN(addrs_differ)(f, key));
}

/* Under the lock: has this key the slot, published or not? */
MASQ_INLINE bool FN(has)(const FLOW *f, const KEY *key)
{
	__u64 word = MASQ_WORD(f);

	return !(((word ^ FN(word_of)(key)) & MASQ_WORD_TAKEN_MASK) |
		 FN(addrs_differ)(f, key)) &&
	       word >> MASQ_WORD_WHAT & (MASQ_W_LIVE | MASQ_W_MADE);
}

/*
 * After a check of *p for NULL: compilers (clang 15 and later) would add an
 * offset first and check afterwards, which the verifier refuses.
 */
#ifndef MASQ_NOT_BEFORE
#define MASQ_NOT_BEFORE(p) asm volatile("" : "+r"(p))
#endif

MASQ_INLINE PAGE *FN(page)(__u32 page)
{
	return bpf_map_lookup_elem(&TABLE, &page);
}

MASQ_INLINE FLOW *FN(slot)(__u32 slot)
{
	PAGE *p = FN(page)(slot >> MASQ_PAGE_SHIFT);

	if (!p)
		return NULL;
	MASQ_NOT_BEFORE(p);
	return &p->slot[slot & (MASQ_PAGE_SLOTS - 1)];
}

MASQ_INLINE struct masq_aside *FN(aside)(__u32 slot)
{
	__u32 page = slot >> MASQ_PAGE_SHIFT;
	struct masq_aside_page *p = bpf_map_lookup_elem(&ASIDE, &page);

	if (!p)
		return NULL;
	MASQ_NOT_BEFORE(p);
	return &p->slot[slot & (MASQ_PAGE_SLOTS - 1)];
}

/* The lock of the stripe that a page belongs to. */
MASQ_INLINE struct masq_lock *FN(page_lock)(__u32 page)
{
	const __u32 stripes = MASQ_SHAPE.stripes, ways = MASQ_SHAPE.ways;
	__u32 lock = page < stripes * ways ? page % stripes
					   : page - stripes * ways;

	lock &= MASQ_LOCKS - 1;
	return bpf_map_lookup_elem(&masq_locks, &lock);
}

/* Place in the page of this key's record, among those whose bit is set in
 * `hops`; MASQ_NO_SLOT: none. `taken`, under the lock: published or not. */
MASQ_INLINE __u32 FN(around)(PAGE *p, __u32 home, __u32 hops, const KEY *key,
			     const bool taken)
{
	hops &= MASQ_HOP_ELSEWHERE - 1;
	for (int i = 0; i < MASQ_HOPS; i++) {
		__u32 at;

		if (!hops)
			break;
		at = (home + masq_lowest(hops)) & (MASQ_PAGE_SLOTS - 1);
		hops &= hops - 1;
		if (taken ? FN(has)(&p->slot[at], key)
			  : FN(is)(&p->slot[at], key))
			return at;
	}
	return MASQ_NO_SLOT;
}

/*
 * Slot of a record that does not lie in its first page's home; the key comes in
 * words, because a function that is verified by itself takes no pointers.
 */
#undef MASQ_KEY_ARGS
#undef MASQ_KEY_WORDS
#undef MASQ_KEY_WORD
#if FAM == 4
#define MASQ_KEY_ARGS	    __u64 addrs, __u64 word
#define MASQ_KEY_WORDS(key) *(const __u64 *)(key)->in_addr, MASQ_KEY_WORD(key)
#else
#define MASQ_KEY_ARGS \
	__u64 in_high, __u64 in_low, __u64 rem_high, __u64 rem_low, __u64 word
#define MASQ_KEY_WORDS(key)                                                 \
	*(const __u64 *)(key)->in_addr, *(const __u64 *)&(key)->in_addr[2], \
		*(const __u64 *)(key)->rem_addr,                            \
		*(const __u64 *)&(key)->rem_addr[2], MASQ_KEY_WORD(key)
#endif
#define MASQ_KEY_WORD(key) (*(const __u64 *)&(key)->in_port)

MASQ_GLOBAL __u32 FN(find_far)(MASQ_KEY_ARGS)
{
	struct FN(place) at;
	KEY key;

#if FAM == 4
	*(__u64 *)key.in_addr = addrs;
#else
	*(__u64 *)key.in_addr = in_high;
	*(__u64 *)&key.in_addr[2] = in_low;
	*(__u64 *)key.rem_addr = rem_high;
	*(__u64 *)&key.rem_addr[2] = rem_low;
#endif
	*(__u64 *)&key.in_port = word;
	FN(place)(&key, &at);
	for (int i = 0; i < 3; i++) {
		__u32 page = i == 0   ? at.first
			     : i == 1 ? at.second
				      : at.overflow;
		PAGE *p = FN(page)(page);
		__u32 hops, found;

		if (!p)
			break;
		hops = *(volatile __u16 *)&p
				->slot[at.home & (MASQ_PAGE_SLOTS - 1)]
				.hops;
		found = FN(around)(p, at.home, hops, &key, false);
		if (found != MASQ_NO_SLOT)
			return page << MASQ_PAGE_SHIFT | found;
		if (likely(!(hops & MASQ_HOP_ELSEWHERE)))
			break;
	}
	return MASQ_NO_SLOT;
}

/* Slot of the published record of this key, or MASQ_NO_SLOT. */
MASQ_INLINE __u32 FN(find)(const KEY *key)
{
	struct FN(place) at;
	FLOW *f;
	PAGE *p;

	FN(place)(key, &at);
	p = FN(page)(at.first);
	if (!p)
		return MASQ_NO_SLOT;
	f = &p->slot[at.home & (MASQ_PAGE_SLOTS - 1)];
	if (likely(FN(is)(f, key)))
		return at.first << MASQ_PAGE_SHIFT | at.home;
	if (likely(!(*(volatile __u16 *)&f->hops & ~1)))
		return MASQ_NO_SLOT;
	return FN(find_far)(MASQ_KEY_WORDS(key));
}

/* --- making, publishing, removing --------------------------------------- */

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
 * Has the processor fetch what making a record will touch: its home, its page's
 * label, its place aside. Each lies in a page of memory of its own, and one
 * after the other they would be most of what a new flow costs. Nothing waits
 * for these loads but the retirement of what follows them.
 */
MASQ_GLOBAL int FN(fetch)(__u32 slot, __u32 which)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_aside *a;
	struct FN(place) at;
	PAGE *p;

	if (!s)
		return 0;
	FN(place)(which == MASQ_OWNER ? (KEY *)&s->owner : (KEY *)&s->rev, &at);
	p = FN(page)(at.first);
	a = FN(aside)(at.first << MASQ_PAGE_SHIFT | at.home);
	if (!p || !a)
		return 0;
	(void)*(volatile __u32 *)&p->label.changes;
	(void)*(volatile __u32 *)&a->created;
	(void)MASQ_WORD(&p->slot[at.home & (MASQ_PAGE_SLOTS - 1)]);
	return 0;
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
