/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - the flow table: slots, their keys, their locks, finding a record;
 * record.h makes and removes them. It knows no state of flows and writes no
 * packet. Included once per family by family.h; docs/design.md has the picture,
 * tests/model/table.pml the proof.
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
