/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * before3.h - reads a flow in the table of an instance with layout 3, which
 * the programs of this one take over from: see inherit.h. Nothing there is
 * changed. Included once per family by family.h; include/layout3.h says when
 * both may go.
 */
#undef BEFORE3
#undef BEFORE3_FLOW
#define BEFORE3	     MASQ_PASTE(masq_before3_, FAM)
#define BEFORE3_FLOW struct MASQ_PASTE(masq_before3_flow, FAM)

#ifndef MASQ_BEFORE3
#define MASQ_BEFORE3
#include "layout3.h"
MASQ_MAP(masq_before3_4, BPF_MAP_TYPE_HASH, struct masq_key4,
	 struct masq_before3_flow4, 1, 0);
MASQ_MAP(masq_before3_6, BPF_MAP_TYPE_HASH, struct masq_key6,
	 struct masq_before3_flow6, 1, BPF_F_NO_PREALLOC);

MASQ_INLINE void masq_before3_tally(struct masq_tally *t,
				    const struct masq_count *c)
{
	t->packets = c->packets;
	t->bytes = c->bytes;
	t->high = c->packets >> 32 << MASQ_TALLY_BYTES_BITS |
		  (c->bytes >> 32 & ((1 << MASQ_TALLY_BYTES_BITS) - 1));
}

/* What a direction has shown, as this layout has it. */
MASQ_INLINE __u8 masq_before3_seen(__u8 seen, __u8 state, bool tcp)
{
	if (!tcp)
		return state == MASQ_ST_ESTABLISHED ? seen | MASQ_SEEN_LATE
						    : seen;
	if (state == MASQ_ST_ESTABLISHED || state == MASQ_ST_CLOSING)
		return seen | MASQ_SEEN_ACK;
	return seen;
}
#endif

/* The flow whose record, of either direction, has the key scratch->owner: all
 * of it into the scratch slot, the owner's key too. 0: none that lives. */
MASQ_GLOBAL int FN(before3)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	BEFORE3_FLOW *own, *rev;
	struct masq_heir *heir;
	KEY *key, *back;
	FLOW *flow;
	bool tcp;

	if (!s || masq_before != 3)
		return 0;
	heir = &s->heir;
	flow = (FLOW *)&s->flow;
	key = (KEY *)&s->owner;
	back = (KEY *)&s->rev;
	own = bpf_map_lookup_elem(&BEFORE3, key);
	if (!own)
		return 0;
	if (own->kind == MASQ_K_REV) {
		FN(addr_copy)(key->in_addr, own->xlat_addr);
		key->in_port = own->xlat_port;
		own = bpf_map_lookup_elem(&BEFORE3, key);
		if (!own || own->kind != MASQ_K_FWD) {
			/* a flow of the node itself, with another port */
			key->role = MASQ_ROLE_HOST;
			own = bpf_map_lookup_elem(&BEFORE3, key);
		}
		if (!own || own->kind != MASQ_K_FWD)
			return 0;
	}
	if (masq_passed(s->now, own->expires))
		return 0;
	s->kind = own->kind;
	tcp = key->proto == IPPROTO_TCP;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->last_seen = own->last_seen;
	flow->expires = own->expires;
	flow->out_seen = masq_before3_seen(own->out_seen, own->state, tcp);
	flow->in_seen = masq_before3_seen(own->in_seen, own->state, tcp);
	flow->prefix = own->prefix;
	s->aside.created = own->created;
	s->aside.generation = own->generation;
	s->aside.flags = own->flags & (MASQ_F_FIXED | MASQ_F_SEEDED);
	masq_before3_tally(&heir->tally, &own->egress);
	if (own->kind != MASQ_K_FWD) {
		flow->pod_ack = own->pod_ack;
		masq_before3_tally(&heir->back, &own->ingress);
		if (own->kind == MASQ_K_EIM) {
			FN(addr_copy)(flow->xlat_addr, own->xlat_addr);
			flow->xlat_port = own->xlat_port;
		}
		return 1;
	}
	flow->pod_ack = own->fwd_pod_ack;
	FN(addr_copy)(flow->xlat_addr, own->xlat_addr);
	flow->xlat_port = own->xlat_port;
	*back = *key;
	back->role = MASQ_ROLE_FLOW;
	FN(addr_copy)(back->in_addr, own->xlat_addr);
	back->in_port = own->xlat_port;
	rev = bpf_map_lookup_elem(&BEFORE3, back);
	if (!rev || rev->kind != MASQ_K_REV)
		return 0;
	heir->rev_last_seen = rev->last_seen;
	masq_before3_tally(&heir->back, &rev->ingress);
	return 1;
}

/* Has the record with this key (enum masq_record) a live flow there? */
MASQ_GLOBAL int FN(before3_has)(__u32 slot, __u32 which)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	BEFORE3_FLOW *f;

	if (!s || masq_before != 3)
		return 0;
	f = bpf_map_lookup_elem(&BEFORE3, which == MASQ_REV ? (KEY *)&s->rev
							    : (KEY *)&s->owner);
	return f && !masq_passed(s->now, f->expires);
}
