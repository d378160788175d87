/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy.h - what the policy in force says of a new flow, and which address
 * it would be translated to. Reads maps and the kernel's FIB (fib.h), changes nothing:
 * `masqbpf explain` enters here too. Included once per family by family.h.
 */

#ifndef MASQ_DECISION
#define MASQ_DECISION
#define MASQ_LOCAL_SNAT 2 /* is_local */

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
 * Is it an address of this node? That is a fact about its addresses, never
 * about routes (a missing one looks the same in the FIB as a local one): user
 * space keeps the sets. What an uplink is translated to is in them before any
 * packet meets it. MASQ_LOCAL_SNAT: no interface has it, but snat.addresses
 * names it, so what is sent there is for this node alone.
 */
MASQ_NOINLINE int FN(is_local)(const __be32 *addr, __u32 uplink)
{
	struct masq_lpm_key net = {
		.plen = MASQ_LPM_SET_BITS + WORDS * 32,
		.set = FAM,
	};
	struct masq_addr local = {};
	struct masq_iface *iface;
	__u32 *whose;

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
	whose = bpf_map_lookup_elem(&masq_nets, &net);
	if (!whose)
		return 0;
	return *whose & MASQ_NET_ROUTE ? 1 : MASQ_LOCAL_SNAT;
}

/*
 * As is_local, where a set that nobody has kept up to date (an attach without
 * an agent) must not make a pod's address the node's: a route that leads
 * elsewhere says that it is not.
 */
MASQ_INLINE int FN(is_still_local)(struct __sk_buff *skb, const __be32 *addr,
				   const __be32 *from, __u32 uplink)
{
	int local = FN(is_local)(addr, uplink);

	return local == 1 && FN(way_to)(skb, addr, from, uplink) ? 0 : local;
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

/* Is this passed untouched, and yet to have a record (the guard asks for it)? */
MASQ_INLINE bool FN(is_recorded)(const struct masq_decision *d, int reason)
{
	return (reason == MASQ_R_NOT_POD || reason == MASQ_R_FAMILY_OFF) &&
	       d->policy && d->policy->flags & MASQ_P_RECORD;
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
		return FN(is_named)(src) || FN(lies_inside)(skb, src, dst)
			       ? MASQ_R_NONE
			       : MASQ_R_HOST;
	}
	return FN(is_still_local)(skb, src, dst, uplink) ? MASQ_OWN_ADDRESS
							 : MASQ_R_NONE;
}

/*
 * Of several addresses each pod has one for all that it does (RFC 4787 REQ-2,
 * paired): by a hash of its own, so it is the same after a reboot and on another
 * node. What it has been given it keeps as long as that is among them, also
 * when others come and go.
 */
#ifndef MASQ_POOL
#define MASQ_POOL
MASQ_INLINE struct masq_addr *masq_snat_slot(__u32 slot)
{
	return bpf_map_lookup_elem(&masq_snat, &slot);
}

/* Well mixed: neighbours get different ones. */
MASQ_INLINE __u32 masq_hash_of(const struct masq_addr *pod)
{
	__u32 h = 0;

	for (int i = 0; i < 4; i++) {
		h = (h ^ bpf_ntohl(pod->a[i])) * 0x85ebca6b;
		h = (h ^ h >> 13) * 0xc2b2ae35;
		h ^= h >> 16;
	}
	return h;
}
#endif

/* *at is the address so many behind *from; both may be one. */
MASQ_INLINE void FN(addr_after)(__be32 *at, const __be32 *from, __u32 behind)
{
	__u64 carry = behind;

	for (int i = WORDS - 1; i >= 0; i--) {
		carry += bpf_ntohl(from[i]);
		at[i] = bpf_htonl((__u32)carry);
		carry >>= 32;
	}
}

/* How far it is behind `from`; what is before it, or far away, is 2^32-1. */
MASQ_INLINE __u32 FN(addr_distance)(const __be32 *addr, const __be32 *from)
{
	__be32 last[WORDS];
	__u32 by = bpf_ntohl(addr[WORDS - 1]) - bpf_ntohl(from[WORDS - 1]);

	FN(addr_after)(last, from, by);
	return FN(addr_equal)(last, addr) ? by : ~0U;
}

/* The number-th address of the pool (MASQ_SNAT), to scratch->node. */
MASQ_GLOBAL int FN(pool_address)(__u32 slot, __u32 snat, __u32 number)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 before = 0;

	if (!s)
		return 0;
	for (__u32 i = 0; i < MASQ_POOL_RANGES; i++) {
		__u32 at = MASQ_SNAT_SLOT(snat) + 2 * i;
		struct masq_addr *first = masq_snat_slot(at);
		struct masq_addr *until = masq_snat_slot(at + 1);

		if (i >= MASQ_SNAT_RANGES(snat) || !first || !until)
			break;
		if (number < until->a[0]) {
			FN(addr_after)(s->node, first->a, number - before);
			return 1;
		}
		before = until->a[0];
	}
	return 0;
}

/* Is one of the pairs in the pool? Its number + 1, or 0. */
MASQ_GLOBAL int FN(pool_pair)(__u32 slot, __u32 snat)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_paired *paired;
	__u32 before = 0;

	if (!s)
		return 0;
	paired = bpf_map_lookup_elem(&masq_pairs, &s->pod);
	if (!paired)
		return 0;
	for (__u32 i = 0; i < MASQ_POOL_RANGES; i++) {
		__u32 at = MASQ_SNAT_SLOT(snat) + 2 * i;
		struct masq_addr *first = masq_snat_slot(at);
		struct masq_addr *until = masq_snat_slot(at + 1);

		if (i >= MASQ_SNAT_RANGES(snat) || !first || !until)
			break;
		for (int k = 0; k < MASQ_PAIRS; k++) {
			__be32 *with = paired->with[k].a;

			if (FN(addr_distance)(with, first->a) <
			    until->a[0] - before) {
				FN(addr_copy)(s->node, with);
				return 1;
			}
		}
		before = until->a[0];
	}
	return 0;
}

/* The address of scratch->owner from the pool scratch->snat, in scratch->node.
 * `note`: a flow gets it. 0: there is none. */
MASQ_GLOBAL int FN(from_pool)(__u32 slot, __u32 note)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_addr *size;
	struct masq_paired *paired;
	__u32 snat;

	if (!s)
		return 0;
	snat = s->snat;
	__builtin_memset(&s->pod, 0, sizeof(s->pod));
	FN(addr_copy)(s->pod.a, ((KEY *)&s->owner)->in_addr);
	if (FN(pool_pair)(slot, snat))
		return 1;
	size = masq_snat_slot(MASQ_SNAT_SLOT(snat) +
			      2 * MASQ_SNAT_RANGES(snat) - 1);
	if (!size || !size->a[0] ||
	    !FN(pool_address)(slot, snat, masq_hash_of(&s->pod) % size->a[0]))
		return 0;
	if (!note)
		return 1;
	paired = bpf_map_lookup_elem(&masq_pairs, &s->pod);
	if (paired) {
		__u32 k = paired->next++ & (MASQ_PAIRS - 1);

		FN(addr_copy)(paired->with[k].a, s->node);
	} else {
		__builtin_memset(&s->paired, 0, sizeof(s->paired));
		FN(addr_copy)(s->paired.with[0].a, s->node);
		s->paired.next = 1;
		bpf_map_update_elem(&masq_pairs, &s->pod, &s->paired, BPF_ANY);
	}
	return 1;
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
			MASQ_DO(FN(route_source)(skb, owner, s->node, 0,
						 uplink));
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
