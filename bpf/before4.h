/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * before4.h - reads a flow in a table of this same layout, of another shape and
 * with other keys of its hash, which the programs of this instance take over
 * from: see inherit.h. Nothing there is changed. Included once per family by
 * family.h.
 */
#undef BEFORE4
#undef BEFORE4_ASIDE
#undef BEFORE4_SHAPE
#define BEFORE4	      MASQ_PASTE(masq_before4_, FAM)
#define BEFORE4_ASIDE MASQ_PASTE(masq_before4_aside, FAM)
#define BEFORE4_SHAPE FN(masq_before_shape)

#ifndef MASQ_BEFORE4
#define MASQ_BEFORE4
MASQ_MAP(masq_before4_4, BPF_MAP_TYPE_ARRAY, __u32, struct masq_page4, 1,
	 BPF_F_MMAPABLE);
MASQ_MAP(masq_before4_6, BPF_MAP_TYPE_ARRAY, __u32, struct masq_page6, 1,
	 BPF_F_MMAPABLE);
MASQ_MAP(masq_before4_aside4, BPF_MAP_TYPE_ARRAY, __u32, struct masq_aside_page,
	 1, BPF_F_MMAPABLE);
MASQ_MAP(masq_before4_aside6, BPF_MAP_TYPE_ARRAY, __u32, struct masq_aside_page,
	 1, BPF_F_MMAPABLE);
const volatile struct masq_shape masq_before_shape_v4 = { 1, 2 };
const volatile struct masq_shape masq_before_shape_v6 = { 1, 2 };
const volatile __u64 masq_before_hash_key[MASQ_HASH_KEYS] = {};
#endif

/* Slot of the published record with this key there, or MASQ_NO_SLOT; as
 * find_far in table.h. */
MASQ_GLOBAL __u32 FN(before4_find)(__u32 slot, __u32 which)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct FN(place) at;
	const KEY *key;

	if (!s || masq_before != 4)
		return MASQ_NO_SLOT;
	key = which == MASQ_REV ? (KEY *)&s->rev : (KEY *)&s->owner;
	FN(place_in)
	(BEFORE4_SHAPE.stripes, BEFORE4_SHAPE.ways,
	 FN(hash_by)(masq_before_hash_key, key), &at);
	for (int i = 0; i < 3; i++) {
		__u32 page = i == 0   ? at.first
			     : i == 1 ? at.second
				      : at.overflow;
		PAGE *p = bpf_map_lookup_elem(&BEFORE4, &page);
		__u32 hops, found;

		if (!p)
			break;
		hops = *(volatile __u16 *)&p
				->slot[at.home & (MASQ_PAGE_SLOTS - 1)]
				.hops;
		found = FN(around)(p, at.home, hops, key, false);
		if (found != MASQ_NO_SLOT)
			return page << MASQ_PAGE_SHIFT | found;
		if (!(hops & MASQ_HOP_ELSEWHERE))
			break;
	}
	return MASQ_NO_SLOT;
}

MASQ_INLINE FLOW *FN(before4_slot)(__u32 slot)
{
	__u32 page = slot >> MASQ_PAGE_SHIFT;
	PAGE *p = bpf_map_lookup_elem(&BEFORE4, &page);

	if (!p)
		return NULL;
	MASQ_NOT_BEFORE(p);
	return &p->slot[slot & (MASQ_PAGE_SLOTS - 1)];
}

/* As before3() in before3.h. */
MASQ_GLOBAL int FN(before4)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_aside_page *p;
	struct masq_heir *heir;
	KEY *key, *back;
	__u32 at, page;
	FLOW *f, *flow;
	__u64 word;

	if (!s || masq_before != 4)
		return 0;
	heir = &s->heir;
	key = (KEY *)&s->owner;
	back = (KEY *)&s->rev;
	flow = (FLOW *)&s->flow;
	at = FN(before4_find)(slot, MASQ_OWNER);
	f = at == MASQ_NO_SLOT ? NULL : FN(before4_slot)(at);
	if (!f)
		return 0;
	if (f->what >> MASQ_W_KIND == MASQ_K_REV) {
		FN(addr_copy)(key->in_addr, f->xlat_addr);
		key->in_port = f->xlat_port;
		at = FN(before4_find)(slot, MASQ_OWNER);
		f = at == MASQ_NO_SLOT ? NULL : FN(before4_slot)(at);
		if (!f || f->what >> MASQ_W_KIND != MASQ_K_FWD) {
			/* a flow of the node itself, with another port; what
			 * has its own is the way back of the pod's flow */
			key->role = MASQ_ROLE_HOST;
			at = FN(before4_find)(slot, MASQ_OWNER);
			f = at == MASQ_NO_SLOT ? NULL : FN(before4_slot)(at);
		}
		if (!f || f->what >> MASQ_W_KIND != MASQ_K_FWD)
			return 0;
	}
	page = at >> MASQ_PAGE_SHIFT;
	p = bpf_map_lookup_elem(&BEFORE4_ASIDE, &page);
	if (!p)
		return 0;
	MASQ_NOT_BEFORE(p);
	word = MASQ_WORD(f);
	MASQ_AFTER(f, word);
	__builtin_memcpy(flow, f, sizeof(*flow));
	s->aside = p->slot[at & (MASQ_PAGE_SLOTS - 1)];
	heir->tally = f->tally;
	heir->back = f->back; /* of KEEP and INBOUND */
	if (MASQ_WORD(f) != word || masq_passed(s->now, flow->expires))
		return 0;
	s->kind = flow->what >> MASQ_W_KIND;
	s->aside.flags &= MASQ_F_FIXED | MASQ_F_SEEDED;
	if (s->kind != MASQ_K_FWD)
		return 1;
	*back = *key;
	back->role = MASQ_ROLE_FLOW;
	FN(addr_copy)(back->in_addr, flow->xlat_addr);
	back->in_port = flow->xlat_port;
	at = FN(before4_find)(slot, MASQ_REV);
	f = at == MASQ_NO_SLOT ? NULL : FN(before4_slot)(at);
	if (!f)
		return 0;
	heir->rev_last_seen = f->last_seen;
	heir->back = f->tally;
	return 1;
}

/* As before3_has() in before3.h, but in its callers: a frame of its own is one too
 * many where an ICMP error is looked at. */
MASQ_INLINE int FN(before4_has)(__u32 slot, __u32 which)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 at;
	FLOW *f;

	/* kernels before 6.8 verify it whether it is called or not */
	if (!s || masq_before != 4)
		return 0;
	at = FN(before4_find)(slot, which);
	f = at == MASQ_NO_SLOT ? NULL : FN(before4_slot)(at);
	return f && !masq_passed(s->now, f->expires);
}
