/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * other.h - interfaces that are not attached: a second card, a VLAN, a tunnel
 * from a load balancer. What comes in there is answered by its route, which
 * may lead out of an attached uplink, and the answer must keep the address that
 * the client knows (row I4). Such a flow gets its inbound record here. And
 * what answers a masqueraded flow comes in there where the network sends it back
 * by another way (row I1): that is left to the program of an uplink's ingress.
 * Nothing else is changed or dropped. Included once per family by family.h.
 */
#ifndef MASQ_OTHER
#define MASQ_OTHER
/* What is answered by no uplink, each known for a second or so: a tunnel's packets
 * pay for one look each second. Rules may go by all of it, but for the far side's
 * port, of which there are too many. */
#define MASQ_ASIDE_WAYS 1024
struct masq_aside_way {
	__be32 rem_addr[4];
	__be32 in_addr[4];
	__be16 in_port;
	__u8 proto;
	__u8 family;
	__u32 ifindex;
	__u32 until; /* tick >> MASQ_ADDRESS_SHIFT, + 1 */
};
MASQ_MAP(masq_aside_ways, BPF_MAP_TYPE_PERCPU_ARRAY, __u32,
	 struct masq_aside_way, MASQ_ASIDE_WAYS, 0);
#endif

/* Where it is remembered that this key's answers are not ours. */
MASQ_INLINE struct masq_aside_way *FN(aside_way)(const KEY *key, __u32 ifindex)
{
	__u32 hash = key->rem_addr[WORDS - 1] ^ ifindex ^ key->proto ^
		     (__u32)key->in_port << 16;

#if FAM == 6
	hash ^= key->rem_addr[0] ^ key->rem_addr[1] ^ key->rem_addr[2];
#endif
	hash = (hash ^ hash >> 16) * 0x85ebca6b;
	hash ^= key->in_addr[WORDS - 1];
	hash = (hash ^ hash >> 16) * 0x9e3779b1;
	hash >>= 22; /* MASQ_ASIDE_WAYS */
	return bpf_map_lookup_elem(&masq_aside_ways, &hash);
}

MASQ_INLINE bool FN(is_aside)(const struct masq_aside_way *aside,
			      const KEY *key, __u32 ifindex, __u32 until)
{
	return aside->until == until && aside->ifindex == ifindex &&
	       aside->family == FAM && aside->proto == key->proto &&
	       aside->in_port == key->in_port &&
	       FN(addr_equal)(aside->rem_addr, key->rem_addr) &&
	       FN(addr_equal)(aside->in_addr, key->in_addr);
}

MASQ_INLINE void FN(set_aside)(struct masq_aside_way *aside, const KEY *key,
			       __u32 ifindex, __u32 until)
{
	FN(addr_copy)(aside->rem_addr, key->rem_addr);
	FN(addr_copy)(aside->in_addr, key->in_addr);
	aside->in_port = key->in_port;
	aside->proto = key->proto;
	aside->family = FAM;
	aside->ifindex = ifindex;
	aside->until = until;
}

/* Would an attached uplink see the answer to a packet with this key that has
 * come in by skb->ifindex? */
MASQ_NOINLINE int FN(is_answered_by_uplink)(struct __sk_buff *skb,
					    const KEY *key)
{
	__u32 in, out, here = skb->ifindex;

	/* where it goes to; what an address of a load balancer becomes on its
	 * way, nobody knows here */
	in = FN(way_of)(skb, key, here, 0);
	if (in == here)
		return 0; /* a neighbour pretends */
	if (!in || bpf_map_lookup_elem(&masq_ifaces, &in))
		in = here;
	out = FN(way_of)(skb, key, in, 1);
	return out && out != here &&
	       bpf_map_lookup_elem(&masq_ifaces, &out) != NULL;
}

/* The packet in the scratch slot has no record. MASQ_MAKE_FLOW, or a reason
 * why it gets none. */
MASQ_GLOBAL int FN(other_new)(struct __sk_buff *skb, __u32 now)
{
	struct masq_decision d = { .prefix = MASQ_NO_PREFIX };
	struct masq_scratch *s = masq_scratch_get(0);
	__u32 until = (now >> MASQ_ADDRESS_SHIFT) + 1;
	struct masq_aside_way *aside;
	const PKT *pkt;

	if (!s)
		return MASQ_R_HOST;
	pkt = (const PKT *)s->pkt;
	if (skb->pkt_type || FN(is_multicast)(pkt->key.in_addr) ||
	    FN(is_link_local)(pkt->key.rem_addr))
		return MASQ_R_MULTICAST;
	aside = FN(aside_way)(&pkt->key, skb->ifindex);
	if (aside && FN(is_aside)(aside, &pkt->key, skb->ifindex, until))
		return MASQ_R_HOST;
	d.half = masq_half();
	d.policy = masq_policy_of(d.half);
	if (!d.policy)
		return MASQ_R_HOST;
	if (FAM == 6 && !(d.policy->flags & MASQ_P_IPV6))
		return MASQ_R_FAMILY_OFF;
	/* a pod's own, or to the node itself */
	if (FN(is_known_pod)(pkt->key.rem_addr) ||
	    FN(is_local)(pkt->key.in_addr, skb->ifindex))
		return MASQ_R_HOST;
	if (FN(is_answered_by_uplink)(skb, &pkt->key))
		return FN(flow_wanted)(skb, pkt, &d, now, MASQ_K_INBOUND);
	if (aside)
		FN(set_aside)(aside, &pkt->key, skb->ifindex, until);
	return MASQ_R_HOST;
}

/* A packet at the ingress of such an interface. MASQ_MAKE_FLOW: its record is
 * to be made. */
MASQ_INLINE int FN(other_packet)(struct __sk_buff *skb, __u32 l3_off,
				 const __u32 l2_len)
{
	struct masq_scratch *s = masq_scratch_get(0);
	__u32 now = masq_now();
	VIEW v = {};
	PKT *pkt;

	if (!s)
		return MASQ_R_HOST;
	pkt = (PKT *)s->pkt; /* there at once: the stack is short */
	__builtin_memset(pkt, 0, sizeof(*pkt));
	if ((l3_off != l2_len ||
	     !FN(parse_simple)(skb, pkt, l2_len, MASQ_INGRESS)) &&
	    !FN(parse_slow)(skb, l3_off, MASQ_INGRESS))
		return MASQ_R_NOT_IP;
	/* an error about a flow, a fragment of one: its uplink's program knows */
	if (pkt->class > MASQ_C_OTHER)
		return (pkt->class == MASQ_C_ICMP_ERROR ||
			pkt->class == MASQ_C_FRAGMENT) &&
				       FN(is_local)(pkt->key.in_addr,
						    skb->ifindex)
			       ? MASQ_ANSWER
			       : MASQ_R_INBOUND;
	if (FN(see)(&pkt->key, &v)) {
		if (likely(FN(live)(&v, now))) {
			/* came back by another way than it went */
			if (v.kind == MASQ_K_REV)
				return MASQ_ANSWER;
			/* any other kind is the business of its uplink */
			if (v.kind != MASQ_K_INBOUND)
				return MASQ_R_NONE;
			FN(use)(pkt, &v, now, MASQ_INGRESS);
			if (v.kind) {
				FN(flow_count)(skb, pkt, &v, MASQ_INGRESS);
				return MASQ_R_NONE;
			}
		} else {
			MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
		}
	}
	return pkt->class == MASQ_C_OTHER ? MASQ_R_INBOUND
					  : FN(other_new)(skb, now);
}

MASQ_GLOBAL int FN(other_eth)(struct __sk_buff *skb, __u32 l3_off)
{
	return FN(other_packet)(skb, l3_off, ETH_HLEN);
}

MASQ_GLOBAL int FN(other_l3)(struct __sk_buff *skb, __u32 l3_off)
{
	return FN(other_packet)(skb, l3_off, 0);
}

/* True: it is an answer to a masqueraded flow, or may be, which the program of an
 * uplink's ingress treats. */
MASQ_INLINE bool FN(other)(struct __sk_buff *skb, __u32 l3_off,
			   const __u32 l2_len)
{
	int r = l2_len ? FN(other_eth)(skb, l3_off) : FN(other_l3)(skb, l3_off);

	if (likely(r != MASQ_MAKE_FLOW))
		return r == MASQ_ANSWER;
	r = FN(make_room)(0) ?: FN(make_flow)(skb, 0);
	if (r == MASQ_NO_PLACE_YET) {
		MASQ_DO(FN(open_around)(0));
		r = FN(make_flow)(skb, 0);
	}
	if (r && r != MASQ_R_BUSY)
		masq_stat(MASQ_R_INBOUND_UNTRACKED, 1);
	return false;
}
