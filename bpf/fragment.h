/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fragment.h - fragments follow their first one (RFC 4787 REQ-14). The first
 * leaves a note under source, destination, identification and protocol, which
 * says what the others get. One that comes before its first is copied into
 * masq_held; when the first arrives the copies are sent on their way again
 * through the same hook, where they now find the note.
 *
 * Towards outside an early fragment is dropped after copying (never leak).
 * From outside it goes to the stack as well, because it may be the node's: if
 * it was a pod's, the stack lets its incomplete copy time out in silence.
 * Bounded: MASQ_HELD_MAX copies of MASQ_HELD_BYTES in all, MASQ_HELD_EACH of a
 * datagram, MASQ_FRAG_SECONDS long. Included once per family by family.h.
 */

MASQ_INLINE void FN(frag_key)(struct masq_frag_key *key, const PKT *pkt,
			      enum masq_dir dir)
{
	__builtin_memset(key, 0, sizeof(*key));
	FN(addr_copy)(key->in_addr, pkt->key.in_addr);
	FN(addr_copy)(key->rem_addr, pkt->key.rem_addr);
	key->id = pkt->frag_id;
	key->proto = pkt->proto;
	key->dir = dir;
	key->family = FAM;
}

/* The address alone: later fragments have no L4 header. */
MASQ_INLINE int FN(rewrite_addr)(struct __sk_buff *skb, PKT *pkt,
				 const __be32 *addr, enum masq_dir dir)
{
	pkt->simple = 0;
	pkt->proto = 0; /* no checksum there */
	return dir == MASQ_EGRESS
		       ? FN(rewrite)(skb, pkt, addr, pkt->key.in_port, 0,
				     MASQ_EGRESS)
		       : FN(rewrite)(skb, pkt, addr, pkt->key.in_port, 0,
				     MASQ_INGRESS);
}

/* A later fragment. MASQ_NOT_OURS: nothing is known of its first. */
MASQ_NOINLINE int FN(fragment)(struct __sk_buff *skb, PKT *pkt,
			       enum masq_dir dir)
{
	struct masq_frag_key key;
	struct masq_frag *note;
	VIEW v, *f = &v;
	__u8 other = dir == MASQ_EGRESS ? MASQ_K_FWD : MASQ_K_REV;

	if (!FN(proto_has_ports)(pkt->proto) && pkt->proto != PROTO_ICMP) {
		/* without ports the fragment itself names its flow */
		if (!FN(see_out_of_line)(&pkt->key, f) ||
		    !FN(live)(f, masq_now()))
			return MASQ_NOT_OURS;
		if (dir == MASQ_INGRESS && f->kind == MASQ_K_FWD)
			return MASQ_R_NONE;
		masq_count_prefix(f->prefix, dir, 1, pkt->l3_len, 0);
		if (f->kind != other)
			return MASQ_R_NONE;
		return FN(rewrite_addr)(skb, pkt, f->xlat_addr, dir)
			       ? MASQ_R_REWRITE
			       : MASQ_R_NONE;
	}
	FN(frag_key)(&key, pkt, dir);
	note = bpf_map_lookup_elem(&masq_frags, &key);
	if (!note || masq_passed(masq_now(), note->expires))
		return MASQ_NOT_OURS;
	/* RFC 1858, RFC 3128: bytes that could replace the TCP flags. What
	 * is not translated is not ours to judge (rows E2, I3). */
	if (note->translate && pkt->proto == IPPROTO_TCP && pkt->frag_off < 20)
		return MASQ_R_FRAGMENT;
	masq_count_prefix(note->prefix, dir, 1, pkt->l3_len, 0);
	if (!note->translate)
		return MASQ_R_NONE;
	return FN(rewrite_addr)(skb, pkt, note->addr, dir) ? MASQ_R_REWRITE
							   : MASQ_R_NONE;
}

#ifndef MASQ_FRAGMENT
#define MASQ_FRAGMENT
/* Copies the packet as it is into *held. False: too long. */
MASQ_INLINE bool masq_copy(struct __sk_buff *skb, struct masq_held *held)
{
	__u32 length = skb->len;

	/* the mask is for the verifier, which loses the comparison */
	if (length < 1 || length > MASQ_HELD_BYTES)
		return false;
	held->length = length;
	asm volatile("" : "+r"(length));
	length = (length - 1) & (MASQ_HELD_BYTES - 1);
	return !bpf_skb_load_bytes(skb, 0, held->data, length + 1);
}

MASQ_INLINE int masq_replace(struct __sk_buff *skb, struct masq_held *held)
{
	__u32 length = held->length;

	if (length < 1 || length > MASQ_HELD_BYTES)
		return -1;
	if (bpf_skb_change_tail(skb, length, 0))
		return -1;
	asm volatile("" : "+r"(length));
	length = (length - 1) & (MASQ_HELD_BYTES - 1);
	return bpf_skb_store_bytes(skb, 0, held->data, length + 1,
				   BPF_F_RECOMPUTE_CSUM);
}

/* Sends the `count` copies that are held of scratch->frag's datagram after its
 * first fragment. */
MASQ_GLOBAL int masq_release(struct __sk_buff *skb, __u32 count)
{
	struct masq_scratch *s = masq_scratch_get(0);
	struct masq_held *first, *held;
	struct masq_held_key hk;
	__u32 one = 1, i;
	bool gone = false;

	if (!s)
		return 0;
	/* the hook that the copies meet has the scratch slot, too */
	hk.frag = s->frag;
	first = bpf_map_lookup_elem(&masq_copies, &one);
	if (!first || !masq_copy(skb, first))
		return 0;
	for (i = 0; i < MASQ_HELD_EACH; i++) {
		if (i >= count)
			break;
		hk.index = i;
		held = bpf_map_lookup_elem(&masq_held, &hk);
		if (held) {
			if (!masq_passed(masq_now(), held->expires)) {
				if (masq_replace(skb, held)) {
					gone = true;
					break;
				}
				bpf_clone_redirect(skb, skb->ifindex,
						   hk.frag.dir == MASQ_INGRESS
							   ? BPF_F_INGRESS
							   : 0);
				masq_stat(MASQ_S_FRAG_RELEASED, 1);
			}
			bpf_map_delete_elem(&masq_held, &hk);
		}
	}
	return gone ? -1 : masq_replace(skb, first);
}
#endif

/* Keeps a copy for the time when its first fragment comes. */
MASQ_NOINLINE int FN(fragment_hold)(struct __sk_buff *skb, const PKT *pkt,
				    enum masq_dir dir)
{
	struct masq_awaited *awaited, none = {};
	struct masq_held_key key;
	struct masq_held *held, *old;
	__u32 zero = 0, i;

	held = bpf_map_lookup_elem(&masq_copies, &zero);
	if (!held || !masq_copy(skb, held))
		return 0;
	held->expires = masq_fragment_expiry();
	FN(frag_key)(&key.frag, pkt, dir);
	awaited = bpf_map_lookup_elem(&masq_awaited, &key.frag);
	if (!awaited || masq_passed(masq_now(), awaited->expires)) {
		none.expires = held->expires;
		bpf_map_update_elem(&masq_awaited, &key.frag, &none, BPF_ANY);
		awaited = bpf_map_lookup_elem(&masq_awaited, &key.frag);
	}
	/* another processor may take the same place */
	for (i = 0; i < 4; i++) {
		if (!awaited || awaited->held >= MASQ_HELD_EACH)
			break;
		key.index = awaited->held;
		awaited->held++;
		old = bpf_map_lookup_elem(&masq_held, &key);
		if ((!old || masq_passed(masq_now(), old->expires)) &&
		    !bpf_map_update_elem(&masq_held, &key, held,
					 old ? BPF_ANY : BPF_NOEXIST)) {
			masq_stat(MASQ_S_FRAG_HELD, 1);
			break;
		}
	}
	return 0;
}

/*
 * A first fragment that has been treated by its record: leaves the note and
 * releases what came early. The packet may have been rewritten by now.
 */
MASQ_NOINLINE int FN(fragment_first)(struct __sk_buff *skb, const PKT *pkt,
				     const VIEW *f, enum masq_dir dir)
{
	struct masq_scratch *s = masq_scratch_get(0);
	struct masq_awaited *awaited;
	struct masq_frag note = {};
	__u32 held = 0;

	if (!s)
		return MASQ_R_NONE;
	FN(frag_key)(&s->frag, pkt, dir);
	awaited = bpf_map_lookup_elem(&masq_awaited, &s->frag);
	if (unlikely(awaited)) {
		if (!masq_passed(masq_now(), awaited->expires))
			held = awaited->held;
		awaited->held = 0;
	}
	note.expires = masq_fragment_expiry();
	note.prefix = f->prefix;
	if (f->kind == (dir == MASQ_EGRESS ? MASQ_K_FWD : MASQ_K_REV)) {
		note.translate = 1;
		FN(addr_copy)(note.addr, f->xlat_addr);
	}
	if (bpf_map_update_elem(&masq_frags, &s->frag, &note, BPF_ANY))
		return MASQ_R_NONE; /* the others will be held, then dropped */
	return held && masq_release(skb, held) ? MASQ_R_REWRITE : MASQ_R_NONE;
}
