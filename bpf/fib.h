/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fib.h - what the kernel's rules and routes say: which way a packet takes, and
 * with which source. Never whether an address is the node's own: a missing route
 * looks like a local one (is_local in policy.h). Included once per family by
 * family.h.
 */

#ifndef MASQ_FIB
#define MASQ_FIB
#define MASQ_WRAPPED ~0U /* way_back: no interface has this number */

/* Does the answer name a way? Also one that this packet is too large for. */
MASQ_INLINE bool masq_fib_found(int ret)
{
	return ret == BPF_FIB_LKUP_RET_SUCCESS ||
	       ret == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       ret == BPF_FIB_LKUP_RET_FRAG_NEEDED ||
	       ret == MASQ_FIB_RET_NO_SRC_ADDR;
}
#endif

/*
 * Asks the kernel's FIB: by which way does a packet from src (NULL: whoever)
 * to dst go that came in by `ifindex`, or, with BPF_FIB_LOOKUP_OUTPUT, that is
 * to leave by it? Rules go by protocol and ports as well, those in *fib, and with
 * MASQ_FIB_LOOKUP_MARK by the packet's mark. MASQ_FIB_* flags that this kernel does
 * not know are left out.
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
	if (masq_features & MASQ_FEAT_FIB_MARK)
		MASQ_FIB_MARK(fib) = skb->mark;
	else
		flags &= ~MASQ_FIB_LOOKUP_MARK;
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
	int ret = FN(fib)(skb, &fib, from, addr, uplink, MASQ_FIB_LOOKUP_MARK);

	return masq_fib_found(ret) ? fib.ifindex : 0;
}

/*
 * Where does the answer to an unforwarded packet go: the interface, or 0. i: which
 * look it is. 0: without the mark that the packet chose its own way by; 1: with
 * it; 2: as what the node sends, since rules may give answers to a proxy. `nobody`:
 * to an address that only default routes lead to.
 */
MASQ_NOINLINE __u32 FN(way_back)(struct __sk_buff *skb, const __be32 *src,
				 const __be32 *dst, __u32 i, __u32 nobody)
{
	struct bpf_fib_lookup fib = {};
	__be32 to[WORDS];
	int ret;

	FN(addr_copy)(to, src);
	if (nobody) {
#if FAM == 4
		to[0] = bpf_htonl(0xf0000001);
#else
		to[0] = bpf_htonl(0x3fff0fff); /* RFC 9637 */
#endif
	}
	ret = FN(fib)(skb, &fib, dst, to, i == 2 ? MASQ_LOOPBACK : skb->ifindex,
		      i == 1 ? MASQ_FIB_LOOKUP_MARK : 0);
	/* there is one, that wraps: by which interface is not told */
	if (ret == BPF_FIB_LKUP_RET_UNSUPP_LWT)
		return MASQ_WRAPPED;
	return masq_fib_found(ret) ? fib.ifindex : 0;
}

/*
 * Does a route lead to the source of an unforwarded packet by an interface that
 * is no uplink, so that it is a pod's? Not a default route: that leads to any
 * address that the node has had, or that nobody has.
 */
MASQ_NOINLINE int FN(lies_inside)(struct __sk_buff *skb, const __be32 *src,
				  const __be32 *dst)
{
	bool found = false;

	for (__u32 i = 0; i < 3; i++) {
		__u32 way;

		if (i == 2 && found)
			break;
		way = FN(way_back)(skb, src, dst, i, 0);
		found |= way;
		if (way && !bpf_map_lookup_elem(&masq_ifaces, &way) &&
		    FN(way_back)(skb, src, dst, i, 1) != way)
			return 1;
	}
	return 0;
}

/* The way on of a packet with this key that has come in by `in`, or of its answer
 * (`back`). As way_to, with protocol and ports. */
MASQ_NOINLINE __u32 FN(way_of)(struct __sk_buff *skb, const KEY *key, __u32 in,
			       __u32 back)
{
	struct bpf_fib_lookup fib = { .l4_protocol = key->proto };
	int ret;

	if (key->proto != PROTO_ICMP) {
		fib.sport = back ? key->in_port : key->rem_port;
		fib.dport = back ? key->rem_port : key->in_port;
	}
	ret = FN(fib)(skb, &fib, back ? key->in_addr : key->rem_addr,
		      back ? key->rem_addr : key->in_addr, in,
		      MASQ_FIB_LOOKUP_MARK);
	return masq_fib_found(ret) ? fib.ifindex : 0;
}

/*
 * Rules go by TOS, or by traffic class and flow label, too: what of them the
 * kernel looks at is its own matter.
 */
MASQ_INLINE void FN(fib_tos)(struct __sk_buff *skb, struct bpf_fib_lookup *fib)
{
	__be32 head;

	if (bpf_skb_load_bytes_relative(skb, 0, &head, sizeof(head),
					BPF_HDR_START_NET))
		return;
#if FAM == 4
	fib->tos = bpf_ntohl(head) >> 16;
#else
	fib->flowinfo = head & bpf_htonl(0x0fffffff);
#endif
}

/*
 * The preferred source of the route that a packet with this key takes which
 * came in by `in` and goes out by `uplink`, where the kernel tells it, else
 * *source is left alone. What the FIB answered.
 *
 * A packet with a tag left by a VLAN's device above this one: its route leads
 * there, and so does its source.
 */
MASQ_NOINLINE int FN(route_source)(struct __sk_buff *skb, const KEY *key,
				   __be32 *source, __u32 in, __u32 uplink)
{
	struct bpf_fib_lookup fib = { .l4_protocol = key->proto };
	__u32 output = in ? 0 : BPF_FIB_LOOKUP_OUTPUT;
	int ret;

	if (key->proto != PROTO_ICMP) {
		fib.sport = key->in_port;
		fib.dport = key->rem_port;
	}
	FN(fib_tos)(skb, &fib);
	ret = FN(fib)(skb, &fib, key->in_addr, key->rem_addr, in ?: uplink,
		      output | MASQ_FIB_LOOKUP_SRC | MASQ_FIB_LOOKUP_MARK);
	if (masq_features & MASQ_FEAT_FIB_SRC && masq_fib_found(ret) &&
	    ret != MASQ_FIB_RET_NO_SRC_ADDR &&
	    (fib.ifindex == uplink || (in && skb->vlan_present)))
		FN(addr_copy)(source, FIB_SOURCE(fib));
	return ret;
}
