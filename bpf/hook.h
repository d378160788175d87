/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hook.h - a packet at a hook, in one pass or two: parse.h, decide.h, and what
 * has to be done about its answer (room, a record, a refusal). Included once per
 * family by family.h.
 */

/*
 * One packet, from its bytes to the reason for what happens to it. With
 * MASQ_ELSEWHERE it goes to the interface in scratch->redirect instead of on:
 * refused and back to its pod, or (reason MASQ_R_NONE) into the pod behind it.
 */
MASQ_INLINE int FN(packet)(struct __sk_buff *skb, __u32 l3_off, int made,
			   const __u32 l2_len, const enum masq_dir dir)
{
	struct masq_scratch *s;
	int reason;
	PKT pkt;

	__builtin_memset(&pkt, 0, sizeof(pkt));
	if (l3_off != l2_len || !FN(parse_simple)(skb, &pkt, l2_len, dir)) {
		s = masq_scratch_get(0);
		if (!s || !FN(parse_slow)(skb, l3_off, dir))
			return MASQ_R_NOT_IP;
		pkt = *(PKT *)s->pkt;
	}
	reason = dir == MASQ_EGRESS ? FN(egress)(skb, &pkt, l2_len, made)
				    : FN(ingress)(skb, &pkt, l2_len, made);
	if (masq_features & MASQ_FEAT_FAST && reason == MASQ_R_NONE &&
	    pkt.redirect) {
		s = masq_scratch_get(0);
		if (s)
			s->redirect = pkt.redirect;
		return s ? MASQ_R_NONE | MASQ_ELSEWHERE : MASQ_R_NONE;
	}
	if (unlikely(reason >= MASQ_R_NO_FLOW && reason < MASQ_R_MAX)) {
		MASQ_DO(FN(
			event)(&pkt.key, NULL, NULL, 0,
			       MASQ_EVENT(MASQ_EV_DROP, reason, skb->ifindex)));
		s = masq_scratch_get(0);
		if (dir == MASQ_EGRESS && s && FN(refuse)(skb, &pkt, reason)) {
			s->redirect = skb->ingress_ifindex;
			return reason | MASQ_ELSEWHERE;
		}
	}
	return reason;
}

/* Each hook's own, verified by itself: see decide.h. */
MASQ_GLOBAL int FN(egress_eth)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, ETH_HLEN, MASQ_EGRESS);
}

MASQ_GLOBAL int FN(ingress_eth)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, ETH_HLEN, MASQ_INGRESS);
}

MASQ_GLOBAL int FN(egress_l3)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, 0, MASQ_EGRESS);
}

MASQ_GLOBAL int FN(ingress_l3)(struct __sk_buff *skb, __u32 l3_off, int made)
{
	return FN(packet)(skb, l3_off, made, 0, MASQ_INGRESS);
}

/* A packet at a hook, in one pass or two. */
MASQ_INLINE int FN(hook)(struct __sk_buff *skb, __u32 l3_off,
			 const __u32 l2_len, const enum masq_dir dir)
{
	int r = MASQ_MAKE_FLOW, made = MASQ_MAKE_FLOW;

	for (int pass = 0; pass < 2; pass++) {
		if (l2_len)
			r = dir == MASQ_EGRESS
				    ? FN(egress_eth)(skb, l3_off, made)
				    : FN(ingress_eth)(skb, l3_off, made);
		else
			r = dir == MASQ_EGRESS
				    ? FN(egress_l3)(skb, l3_off, made)
				    : FN(ingress_l3)(skb, l3_off, made);
		if (masq_before && r == MASQ_INHERIT) {
			/* also when there is no place: a packet is lost then */
			MASQ_DO(FN(inherit)(0));
			made = MASQ_R_NONE;
			continue;
		}
		if (likely(r != MASQ_MAKE_FLOW))
			break;
#pragma clang loop unroll(disable)
		for (__u32 i = 0; i < 2; i++) {
			made = 0;
			/*
			 * The compiler must not take the turns apart: libbpf
			 * lays functions down in the order of their first
			 * calls, and this order keeps the farthest of them
			 * near (tests/prog/test_verifier.c).
			 */
			asm volatile("" : "+r"(i));
			if (unlikely(i))
				MASQ_DO(FN(open_around)(0));
			else
				made = FN(make_room)(0);
			made = made ?: FN(make_flow)(skb, 0);
			if (likely(made != MASQ_NO_PLACE_YET))
				break;
			made = MASQ_R_TABLE_FULL;
		}
		/* another processor is making it: it may have done so by now */
		if (made == MASQ_R_BUSY)
			made = MASQ_R_NONE;
	}
	return r;
}
