/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy.h - what the policy in force says of a new flow, and which address
 * it would be translated to. Reads maps and the kernel's FIB, changes nothing:
 * `masqbpf explain` enters here too. Included once per family by family.h.
 */

#ifndef MASQ_DECISION
#define MASQ_DECISION
/* Does the answer name a way? */
MASQ_INLINE bool masq_fib_found(int ret)
{
	return ret == BPF_FIB_LKUP_RET_SUCCESS ||
	       ret == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       ret == MASQ_FIB_RET_NO_SRC_ADDR;
}

struct masq_decision {
	const struct masq_policy *policy;
	__u32 half;
	__u32 prefix;
	__u16 snat;
	__u8 action; /* enum masq_action */
	__u8 pad;
};
#endif

/*
 * Asks the kernel's FIB: by which way does a packet from src (NULL: whoever)
 * to dst go that came in by `ifindex`, or, with BPF_FIB_LOOKUP_OUTPUT, that is
 * to leave by it? MASQ_FIB_* flags that this kernel does not know are left out.
 */
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
	if (masq_features & MASQ_FEAT_FIB_SRC)
		flags |= MASQ_FIB_SKIP_NEIGH;
	else
		flags &= ~MASQ_FIB_LOOKUP_SRC;
	if (masq_features & MASQ_FEAT_FIB_MARK) {
		flags |= MASQ_FIB_LOOKUP_MARK;
		MASQ_FIB_MARK(fib) = skb->mark;
	}
	return bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
}

/*
 * Where a packet to `addr` goes that comes from `from` by this uplink, as the
 * answer to a packet does: the interface, or 0 when there is no route out of
 * this node for it, because the address is its own or because nobody has it.
 * The two cannot be told apart here: is_local does it.
 */
MASQ_NOINLINE __u32 FN(way_to)(struct __sk_buff *skb, const __be32 *addr,
			       const __be32 *from, __u32 uplink)
{
	struct bpf_fib_lookup fib = {};
	int ret = FN(fib)(skb, &fib, from, addr, uplink, 0);

	return masq_fib_found(ret) ? fib.ifindex : 0;
}

/*
 * Is it an address of this node? That is a fact about its addresses, never
 * about routes (a missing one looks the same in the FIB as a local one): user
 * space keeps the sets. What an uplink is translated to is in them before any
 * packet meets it.
 */
MASQ_NOINLINE int FN(is_local)(const __be32 *addr, __u32 uplink)
{
	struct masq_lpm_key net = {
		.plen = MASQ_LPM_SET_BITS + WORDS * 32,
		.set = FAM,
	};
	struct masq_addr local = {};
	struct masq_iface *iface;

	FN(addr_copy)(local.a, addr);
	if (bpf_map_lookup_elem(&masq_local, &local))
		return 1;
	iface = bpf_map_lookup_elem(&masq_ifaces, &uplink);
#if FAM == 4
	if (iface && iface->addr4 == addr[0])
		return 1;
#else
	if (iface && FN(addr_equal)(iface->addr6, addr))
		return 1;
#endif
	FN(addr_copy)(net.addr, addr);
	return !!bpf_map_lookup_elem(&masq_nets, &net);
}

/*
 * As is_local, where a set that nobody has kept up to date (an attach without
 * an agent) must not make a pod's address the node's: a route that leads
 * elsewhere says that it is not.
 */
MASQ_INLINE bool FN(is_still_local)(struct __sk_buff *skb, const __be32 *addr,
				    const __be32 *from, __u32 uplink)
{
	return FN(is_local)(addr, uplink) &&
	       !FN(way_to)(skb, addr, from, uplink);
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

/* Does podCIDRs name it? */
MASQ_NOINLINE int FN(is_named)(const __be32 *addr)
{
	__u32 half = masq_half();
	struct masq_policy *pol = masq_policy_of(half);
	struct masq_lpm_value *v;

	if (!pol || !(pol->flags & (FAM == 4 ? MASQ_P_PODS4 : MASQ_P_PODS6)))
		return 0;
	v = FN(lpm)(half, FAM == 4 ? MASQ_SET_SRC4 : MASQ_SET_SRC6, addr);
	return v && v->source & MASQ_SRC_POD;
}

/*
 * Whose packet is it, from src to dst on this uplink? MASQ_R_NONE: a pod's, as
 * the contract has it. MASQ_R_HOST: sent by the node itself. MASQ_OWN_ADDRESS:
 * it has an address of the node, so the node's or its neighbours', who are
 * translated by netfilter. `forwarded`: it came in by an interface. Without
 * that it may be a pod's all the same: put together and fragmented anew, or
 * handed on by a proxy that takes the pod's address.
 */
MASQ_NOINLINE int FN(whose)(struct __sk_buff *skb, const __be32 *src,
			    const __be32 *dst, __u32 uplink, __u32 forwarded)
{
	__u32 way;

	if (FN(is_multicast)(src))
		return MASQ_R_MULTICAST;
	if (FN(is_link_local)(src) || (FAM == 6 && FN(is_link_local)(dst))) {
		if (!FN(is_named)(src) || (FAM == 6 && FN(is_link_local)(dst)))
			return forwarded ? MASQ_R_LINK_LOCAL : MASQ_R_HOST;
	}
	/* the node's own packets have no record: the shortest way is theirs */
	if (!forwarded && FN(is_local)(src, uplink))
		return MASQ_OWN_ADDRESS;
	if (FN(is_known_pod)(src))
		return MASQ_R_NONE;
	if (!forwarded) {
		if (FN(is_named)(src))
			return MASQ_R_NONE;
		way = FN(way_to)(skb, src, dst, uplink);
		return way && !bpf_map_lookup_elem(&masq_ifaces, &way)
			       ? MASQ_R_NONE
			       : MASQ_R_HOST;
	}
	return FN(is_still_local)(skb, src, dst, uplink) ? MASQ_OWN_ADDRESS
							 : MASQ_R_NONE;
}

/*
 * The preferred source of the route that a packet from src to dst takes which
 * came in by `in` and goes out by `uplink`, where the kernel tells it, else
 * *source is left alone. What the FIB answered.
 *
 * A packet with a tag left by a VLAN's device above this one: its route leads
 * there, and so does its source.
 */
struct FN(route) {
	const __be32 *src;
	const __be32 *dst;
	__be32 *source;
};
MASQ_NOINLINE int FN(route_source)(struct __sk_buff *skb,
				   const struct FN(route) * r, __u32 in,
				   __u32 uplink)
{
	struct bpf_fib_lookup fib = {};
	__u32 output = in ? 0 : BPF_FIB_LOOKUP_OUTPUT;
	int ret = FN(fib)(skb, &fib, r->src, r->dst, in ?: uplink,
			  output | MASQ_FIB_LOOKUP_SRC);

	if (masq_features & MASQ_FEAT_FIB_SRC &&
	    (ret == BPF_FIB_LKUP_RET_SUCCESS ||
	     ret == BPF_FIB_LKUP_RET_NO_NEIGH) &&
	    (fib.ifindex == uplink || (in && skb->vlan_present)))
		FN(addr_copy)(r->source, FIB_SOURCE(fib));
	return ret;
}

/*
 * The address to translate to in scratch->node, for a flow of scratch->owner
 * on uplink scratch->ifindex: the configured one, else the preferred source of
 * the route (already there when its way has been asked for), else the uplink's
 * own. False: there is none.
 */
MASQ_NOINLINE int FN(node_address)(struct __sk_buff *skb,
				   struct masq_scratch *s)
{
	const KEY *owner = (const KEY *)&s->owner;
	__u32 uplink = s->ifindex, snat = s->snat;
	struct FN(route) r = { .src = owner->in_addr,
			       .dst = owner->rem_addr,
			       .source = s->node };
	struct masq_iface *iface;

	if (snat) {
		struct masq_addr *a = bpf_map_lookup_elem(&masq_snat, &snat);

		if (!a)
			return 0;
		FN(addr_copy)(s->node, a->a);
		return 1;
	}
	if (masq_features & MASQ_FEAT_FIB_SRC) {
		if (FN(addr_is_zero)(s->node))
			MASQ_DO(FN(route_source)(skb, &r, 0, uplink));
		if (!FN(addr_is_zero)(s->node) &&
		    (FAM == 4 || !FN(is_link_local)(s->node)))
			return 1;
	}
	iface = bpf_map_lookup_elem(&masq_ifaces, &uplink);
	if (!iface)
		return 0;
#if FAM == 4
	s->node[0] = iface->addr4;
#else
	FN(addr_copy)(s->node, iface->addr6);
#endif
	return !FN(addr_is_zero)(s->node);
}
