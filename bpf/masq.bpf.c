// SPDX-License-Identifier: GPL-2.0-only
/*
 * masq.bpf.c - the programs: parse, decide, rewrite, for each family. This is
 * the only place that knows TC_ACT_*. A packet that is none of our business
 * gets the "next" verdict, so that other programs of the chain run; so does a
 * packet that we translated.
 */
#include "common.h"

#define FAM 4
#include "family.h"
#undef FAM
#define FAM 6
#include "family.h"
#undef FAM

#define TC_NEXT -1 /* TC_ACT_UNSPEC, TCX_NEXT */
#define TC_DROP 2 /* TC_ACT_SHOT, TCX_DROP */

MASQ_INLINE int masq_verdict(__u32 reason)
{
	if (likely(reason == MASQ_R_NONE))
		return TC_NEXT;
	masq_stat(reason, 1);
	switch (reason) {
#define MASQ_VERDICT_PASS TC_NEXT
#define MASQ_VERDICT_DROP TC_DROP
#define R(id, name, verdict, what, todo) \
	case MASQ_R_##id:                \
		return MASQ_VERDICT_##verdict;
		MASQ_REASONS(R)
#undef R
	}
	return TC_NEXT;
}

/*
 * L3 offset and protocol below up to two VLAN tags in the payload, and below the
 * labels that a route pushes (`encap mpls`), up to eight: no interface of its own
 * with a hook has seen what is in them.
 */
MASQ_INLINE __u32 masq_below(struct __sk_buff *skb, __u32 off, __be16 *proto)
{
	__u8 label[5];

	for (int i = 0; i < 2; i++) {
		if (*proto != bpf_htons(ETH_P_8021Q) &&
		    *proto != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, off + 2, proto, sizeof(*proto)))
			break;
		off += 4;
	}
	if (*proto != bpf_htons(ETH_P_MPLS_UC))
		return off;
	for (int i = 0; i < 8; i++) {
		if (bpf_skb_load_bytes(skb, off, label, sizeof(label)))
			break;
		off += 4;
		if (!(label[2] & 1)) /* not the bottom of the stack */
			continue;
		if (label[4] >> 4 == 4)
			*proto = bpf_htons(ETH_P_IP);
		else if (label[4] >> 4 == 6)
			*proto = bpf_htons(ETH_P_IPV6);
		break;
	}
	return off;
}

/*
 * May there be a header around the packet? Since 5.14 GRE without a fixed peer
 * alone shows it, which says so in the byte that names what follows; before that
 * GRE, IPIP and the like did, and it may be anything.
 */
MASQ_INLINE bool masq_may_be_inside(struct __sk_buff *skb)
{
#ifdef MASQ_MODERN
	const __u8 *at = (const void *)(long)skb->data;

	if ((const void *)(at + 10) > (const void *)(long)skb->data_end)
		return true;
	return at[at[0] >> 4 == 6 ? 6 : 9] == IPPROTO_GRE;
#else
	return true;
#endif
}

/*
 * Where the IP header begins where there is no link-layer header: at the
 * beginning, or behind what is around it. The kernel knows, and reads from there
 * without telling where; but nothing comes behind what was inside.
 */
MASQ_INLINE __u32 masq_start(struct __sk_buff *skb, __be16 proto)
{
	union {
		__be16 at[4];
		__u64 all;
	} inner, first;
	__u32 length;

	if (likely(!masq_may_be_inside(skb)) ||
	    bpf_skb_load_bytes_relative(skb, 0, &inner, sizeof(inner),
					BPF_HDR_START_NET) ||
	    bpf_skb_load_bytes(skb, 0, &first, sizeof(first)) ||
	    inner.all == first.all)
		return 0;
	if (proto == bpf_htons(ETH_P_IP))
		length = bpf_ntohs(inner.at[1]);
	else if (proto == bpf_htons(ETH_P_IPV6))
		length = bpf_ntohs(inner.at[2]) + 40;
	else
		return 0;
	if (length >= skb->len ||
	    bpf_skb_load_bytes(skb, skb->len - length, &first, sizeof(first)) ||
	    inner.all != first.all)
		return 0;
	return skb->len - length;
}

/* One seal a direction: what came in may have to be translated going out. */
MASQ_INLINE __u32 masq_seal_of(const enum masq_dir dir)
{
	return dir == MASQ_EGRESS ? masq_seal : ~masq_seal;
}

MASQ_INLINE int masq_hook(struct __sk_buff *skb, const __u32 l2_len,
			  const enum masq_dir dir)
{
	__be16 proto = skb->protocol;
	__u32 l3_off = l2_len;
	int reason = MASQ_R_NOT_IP;
	struct masq_scratch *s;

	if (masq_seal && unlikely(skb->cb[0] == masq_seal_of(dir)))
		return TC_NEXT;
	if (!l2_len)
		l3_off = masq_start(skb, proto);
	if (unlikely(proto != bpf_htons(ETH_P_IP) &&
		     proto != bpf_htons(ETH_P_IPV6)))
		l3_off = masq_below(skb, l3_off, &proto);
	if (proto == bpf_htons(ETH_P_IP))
		reason = hook_v4(skb, l3_off, l2_len, dir);
	else if (proto == bpf_htons(ETH_P_IPV6))
		reason = hook_v6(skb, l3_off, l2_len, dir);
	if (likely(reason == MASQ_R_NONE)) {
		/* it has had its treatment, whatever hook it meets next */
		skb->cb[0] = masq_seal_of(dir);
		return TC_NEXT;
	}
	if (likely(!(reason & MASQ_ELSEWHERE)))
		return masq_verdict(reason);
	reason &= ~MASQ_ELSEWHERE;
	s = masq_scratch_get(0);
	if (!s)
		return TC_DROP;
	if (masq_features & MASQ_FEAT_FAST && reason == MASQ_R_NONE)
		return bpf_redirect_peer(s->redirect, 0);
	masq_stat(reason, 1);
	return bpf_redirect_neigh(s->redirect, NULL, 0, 0);
}

SEC("tc")
int masq_egress(struct __sk_buff *skb)
{
	return masq_hook(skb, ETH_HLEN, MASQ_EGRESS);
}

SEC("tc")
int masq_ingress(struct __sk_buff *skb)
{
	return masq_hook(skb, ETH_HLEN, MASQ_INGRESS);
}

/* for uplinks without a link-layer header: tun, wireguard, ipip ... */
SEC("tc")
int masq_egress_l3(struct __sk_buff *skb)
{
	return masq_hook(skb, 0, MASQ_EGRESS);
}

SEC("tc")
int masq_ingress_l3(struct __sk_buff *skb)
{
	return masq_hook(skb, 0, MASQ_INGRESS);
}

/* On interfaces that are not attached: see other.h. */
MASQ_INLINE int masq_beside_hook(struct __sk_buff *skb, const __u32 l2_len)
{
	__be16 proto = skb->protocol;
	__u32 start = l2_len ? l2_len : masq_start(skb, proto), l3_off = start;
	bool answer = false;

	if (unlikely(proto != bpf_htons(ETH_P_IP) &&
		     proto != bpf_htons(ETH_P_IPV6)))
		l3_off = masq_below(skb, start, &proto);
	if (proto == bpf_htons(ETH_P_IP))
		answer = other_v4(skb, l3_off, l2_len);
	else if (proto == bpf_htons(ETH_P_IPV6))
		answer = other_v6(skb, l3_off, l2_len);
	/* what has a tag is for a VLAN's device above this one, and its hook */
	return answer && !skb->vlan_present && l3_off == start
		       ? masq_hook(skb, l2_len, MASQ_INGRESS)
		       : TC_NEXT;
}

SEC("tc")
int masq_beside(struct __sk_buff *skb)
{
	return masq_beside_hook(skb, ETH_HLEN);
}

SEC("tc")
int masq_beside_l3(struct __sk_buff *skb)
{
	return masq_beside_hook(skb, 0);
}

/*
 * The fast path, on the node's side of a pod's veth: from the pod (ingress),
 * and, to see what the stack lets through, to the pod (egress). Nothing here
 * decides about translation, and all that is not routine takes the stack.
 */
SEC("tc")
int masq_pod_in(struct __sk_buff *skb)
{
	int ret = 0;

	if (!(masq_features & MASQ_FEAT_FAST))
		return TC_NEXT;
	/* a pod may have put a number there: by chance that of a note */
	skb->tc_index = 0;
	/* a tag's packets are another network's, whatever addresses they have */
	if (skb->vlan_present)
		return TC_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		ret = fast_out_v4(skb);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		ret = fast_out_v6(skb);
	if (!ret)
		return TC_NEXT;
	if (ret < 0)
		return masq_verdict(MASQ_R_REWRITE);
	skb->cb[0] = masq_seal;
	return bpf_redirect(ret, 0);
}

SEC("tc")
int masq_pod_out(struct __sk_buff *skb)
{
	/* few packets: those that were asked to be looked at again */
	if (!(masq_features & MASQ_FEAT_FAST) || !skb->tc_index ||
	    skb->vlan_present)
		return TC_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		MASQ_DO(fast_seen_v4(skb));
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		MASQ_DO(fast_seen_v6(skb));
	return TC_NEXT;
}

MASQ_INLINE int masq_ctl_reclaim(struct masq_scratch *s)
{
	__u32 pages = s->ctl.count;

	s->now = masq_now();
	s->half = masq_half();
	s->ended = 0;
	MASQ_DO(reclaim_v4(1, pages));
	MASQ_DO(reclaim_v6(1, pages));
	s->ctl.count = s->ended;
	return 0;
}

/* What another instance has counted; packets of this processor wait. */
/* Whoever is killed then knows how far he has come. */
MASQ_INLINE void masq_ctl_carried(const struct masq_ctl *ctl)
{
	__u32 zero = 0;
	struct masq_meta *meta = bpf_map_lookup_elem(&masq_meta, &zero);

	if (meta)
		meta->carried = ctl->count;
}

MASQ_INLINE int masq_ctl_count(const struct masq_ctl *ctl)
{
	__u32 prefix = ctl->prefix;
	struct masq_prefix_count *c =
		bpf_map_lookup_elem(&masq_counters, &prefix);

	if (!c)
		return -2;
	c->egress.packets += ctl->counts.egress.packets;
	c->egress.bytes += ctl->counts.egress.bytes;
	c->ingress.packets += ctl->counts.ingress.packets;
	c->ingress.bytes += ctl->counts.ingress.bytes;
	c->flows += ctl->counts.flows;
	masq_ctl_carried(ctl);
	return 0;
}

/*
 * Requests of user space, by BPF_PROG_TEST_RUN: see struct masq_ctl. Never
 * attached to anything.
 */
SEC("tc")
int masq_ctl(struct __sk_buff *skb)
{
	struct masq_scratch *s = masq_scratch_get(1);
	struct masq_ctl *ctl;
	int ret = -22; /* EINVAL */
	bool v6;

	if (!s)
		return TC_DROP;
	ctl = &s->ctl;
	if (bpf_skb_load_bytes(skb, MASQ_CTL_OFFSET, ctl, sizeof(*ctl)))
		return TC_DROP;
	v6 = ctl->family == 6;
	switch (ctl->op) {
	case MASQ_CTL_CLOCK:
		ctl->now_ns = bpf_ktime_get_ns();
		ctl->jiffies = bpf_jiffies64();
		ret = 0;
		break;
	case MASQ_CTL_EXPLAIN:
		ret = v6 ? ctl_explain_v6(skb) : ctl_explain_v4(skb);
		break;
	case MASQ_CTL_DELETE:
		ret = v6 ? ctl_delete_v6(1) : ctl_delete_v4(1);
		break;
	case MASQ_CTL_SEED:
		ret = v6 ? ctl_seed_v6(1) : ctl_seed_v4(1);
		break;
	case MASQ_CTL_FIND:
		ret = v6 ? ctl_find_v6(1) : ctl_find_v4(1);
		break;
	case MASQ_CTL_COUNT:
		ret = masq_ctl_count(ctl);
		break;
	case MASQ_CTL_STAT:
		masq_stat(ctl->prefix, ctl->counts.flows);
		masq_ctl_carried(ctl);
		ret = 0;
		break;
	case MASQ_CTL_INHERIT:
		ret = v6 ? ctl_inherit_v6(1) : ctl_inherit_v4(1);
		break;
	case MASQ_CTL_RECLAIM:
		ret = masq_ctl_reclaim(s);
		break;
	}
	ctl->error = ret;
	if (bpf_skb_store_bytes(skb, MASQ_CTL_OFFSET, ctl, sizeof(*ctl), 0))
		return TC_DROP;
	return 0;
}

char _license[] SEC("license") = "GPL";
