/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy.h - what the policy in force says of a new flow, and which address
 * it would be translated to. Reads maps and the kernel's FIB, changes nothing:
 * `masqbpf explain` enters here too. Included once per family by family.h.
 */

#ifndef MASQ_DECISION
#define MASQ_DECISION
struct masq_decision {
	const struct masq_policy *policy;
	__u32 half;
	__u32 prefix;
	__u16 snat;
	__u8 action; /* enum masq_action */
	__u8 pad;
};
#endif

MASQ_INLINE int FN(fib)(struct __sk_buff *skb, struct bpf_fib_lookup *fib,
			const __be32 *src, const __be32 *dst, __u32 ifindex,
			__u32 flags)
{
#if FAM == 4
	fib->family = 2; /* AF_INET */
	fib->ipv4_dst = dst[0];
	if (src)
		fib->ipv4_src = src[0];
#else
	fib->family = 10; /* AF_INET6 */
	FN(addr_copy)(fib->ipv6_dst, dst);
	if (src)
		FN(addr_copy)(fib->ipv6_src, src);
#endif
	fib->ifindex = ifindex;
	return bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
}

/*
 * Is it an address of this node (or a broadcast address of it)? The FIB
 * knows at once what `ip addr add` did; masq_local serves devices that do not
 * forward, where the FIB does not answer.
 *
 * The same question answers another one: where `source` is given, the route
 * leads out of `ifindex` and the kernel can tell, its preferred source is
 * written there. One lookup less for each new flow. A packet with a tag left
 * by a VLAN's device above this one: its route leads there, and so does its
 * source.
 */
MASQ_NOINLINE int FN(is_local)(struct __sk_buff *skb, const __be32 *addr,
			       __u32 ifindex, __be32 *source)
{
	struct bpf_fib_lookup fib = {};
	struct masq_addr local = {};
	__u32 flags = 0;
	int ret;

	if (masq_features & MASQ_FEAT_FIB_SRC)
		flags = MASQ_FIB_SKIP_NEIGH |
			(source ? MASQ_FIB_LOOKUP_SRC : 0);
	ret = FN(fib)(skb, &fib, NULL, addr, ifindex, flags);
	if (ret == BPF_FIB_LKUP_RET_NOT_FWDED)
		return 1;
	if (ret == BPF_FIB_LKUP_RET_SUCCESS ||
	    ret == BPF_FIB_LKUP_RET_NO_NEIGH) {
		if (flags & MASQ_FIB_LOOKUP_SRC &&
		    (fib.ifindex == ifindex || skb->vlan_present))
			FN(addr_copy)(source, FIB_SOURCE(fib));
		return 0;
	}
	if (ret == MASQ_FIB_RET_NO_SRC_ADDR)
		return 0;
	FN(addr_copy)(local.a, addr);
	return !!bpf_map_lookup_elem(&masq_local, &local);
}

MASQ_INLINE bool FN(is_multicast)(const __be32 *addr)
{
#if FAM == 4
	/* 224.0.0.0/4 and limited broadcast */
	return (addr[0] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) ||
	       addr[0] == 0xffffffff;
#else
	return (addr[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
#endif
}

/* IPv4 link-local destinations are a matter of policy (masqLinkLocal). */
MASQ_INLINE bool FN(is_link_local)(const __be32 *addr)
{
#if FAM == 4
	return (addr[0] & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000);
#else
	return (addr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
#endif
}

MASQ_INLINE struct masq_lpm_value *FN(lpm)(__u32 half, __u8 set,
					   const __be32 *addr)
{
	struct masq_lpm_key key = {
		.plen = MASQ_LPM_SET_BITS + WORDS * 32,
		.set = set,
	};

	FN(addr_copy)(key.addr, addr);
	return half ? bpf_map_lookup_elem(&masq_trie_b, &key)
		    : bpf_map_lookup_elem(&masq_trie_a, &key);
}

/*
 * The policy for a flow from pod `src` to `dst`. MASQ_R_NONE: *d is filled,
 * act by d->action; else the reason why it is not a matter of policy.
 */
MASQ_NOINLINE int FN(decide)(const __be32 *src, const __be32 *dst,
			     struct masq_decision *d)
{
	struct masq_lpm_value *v;
	struct masq_policy *pol;

	d->half = masq_half();
	d->prefix = FAM == 6;
	d->snat = 0;
	d->action = MASQ_MASQUERADE;
	d->policy = pol = masq_policy_of(d->half);
	if (!pol)
		return MASQ_R_HOST;
#if FAM == 6
	if (!(pol->flags & MASQ_P_IPV6))
		return MASQ_R_FAMILY_OFF;
#endif
	if (pol->flags & (FAM == 4 ? MASQ_P_PODS4 | MASQ_P_KEEP_SOURCES
				   : MASQ_P_PODS6 | MASQ_P_KEEP_SOURCES) &&
	    !FN(addr_is_zero)(src)) {
		v = FN(lpm)(d->half, FAM == 4 ? MASQ_SET_SRC4 : MASQ_SET_SRC6,
			    src);
		if (pol->flags & (FAM == 4 ? MASQ_P_PODS4 : MASQ_P_PODS6) &&
		    !(v && v->source & MASQ_SRC_POD))
			return pol->flags & MASQ_P_DROP_FOREIGN
				       ? MASQ_R_FOREIGN_SOURCE
				       : MASQ_R_NOT_POD;
		if (v && v->source & MASQ_SRC_KEEP) {
			d->prefix = v->prefix;
			d->action = MASQ_KEEP;
			return MASQ_R_NONE;
		}
	}
	v = FN(lpm)(d->half, FAM == 4 ? MASQ_SET_DST4 : MASQ_SET_DST6, dst);
	if (v) {
		d->prefix = v->prefix;
		d->action = v->action;
		d->snat = v->snat;
	}
	return MASQ_R_NONE;
}

/*
 * The address to translate to on uplink `ifindex`: the configured one, else
 * the route's preferred source (already in *addr when is_local has been told
 * it), else the uplink's own. False: there is none.
 */
MASQ_NOINLINE int FN(node_address)(struct __sk_buff *skb, const __be32 *dst,
				   __u32 ifindex, __u32 snat, __be32 *addr)
{
	struct masq_iface *iface;

	if (snat) {
		struct masq_addr *a = bpf_map_lookup_elem(&masq_snat, &snat);

		if (!a)
			return 0;
		FN(addr_copy)(addr, a->a);
		return 1;
	}
	if (masq_features & MASQ_FEAT_FIB_SRC) {
		struct bpf_fib_lookup fib = {};
		int ret;

		if (FN(addr_is_zero)(addr)) {
			ret = FN(fib)(skb, &fib, NULL, dst, ifindex,
				      BPF_FIB_LOOKUP_OUTPUT |
					      MASQ_FIB_LOOKUP_SRC |
					      MASQ_FIB_SKIP_NEIGH);
			if ((ret == BPF_FIB_LKUP_RET_SUCCESS ||
			     ret == BPF_FIB_LKUP_RET_NO_NEIGH) &&
			    fib.ifindex == ifindex)
				FN(addr_copy)(addr, FIB_SOURCE(fib));
		}
		if (!FN(addr_is_zero)(addr) &&
		    (FAM == 4 || !FN(is_link_local)(addr)))
			return 1;
	}
	iface = bpf_map_lookup_elem(&masq_ifaces, &ifindex);
	if (!iface)
		return 0;
#if FAM == 4
	addr[0] = iface->addr4;
#else
	FN(addr_copy)(addr, iface->addr6);
#endif
	return !FN(addr_is_zero)(addr);
}
