/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * refuse.h - answers a new flow for which there is no port or no room with
 * ICMP "administratively prohibited" (RFC 5508 REQ-8, RFC 6888 REQ-11): turns
 * the packet into the answer, which the caller sends back to the pod. Rate
 * limited; TCP only where the policy asks for it, because it ends connect() at
 * once where a repeated SYN might have found a port. Included once per family
 * by family.h.
 */

#ifndef MASQ_REFUSE
#define MASQ_REFUSE
/* One answer a tick and processor, ten in a burst. */
MASQ_INLINE bool masq_may_refuse(void)
{
	struct masq_bucket *b;
	__u32 zero = 0, now = masq_now(), passed;

	b = bpf_map_lookup_elem(&masq_refusals, &zero);
	if (!b)
		return false;
	passed = now - b->tick;
	b->tick = now;
	b->tokens = passed > 10 || b->tokens + passed > 10 ? 10
							   : b->tokens + passed;
	if (!b->tokens)
		return false;
	b->tokens--;
	return true;
}
#endif

#if FAM == 4
struct FN(refusal) {
	struct iphdr ip;
	struct masq_icmphdr icmp;
	__u8 quote[L3_HLEN + 8];
};
#else
struct FN(refusal) {
	struct ipv6hdr ip;
	struct masq_icmphdr icmp;
	__u8 quote[L3_HLEN + 8];
};
#endif

/* True: the skb is now the answer, to go out by skb->ingress_ifindex. */
MASQ_NOINLINE int FN(refuse)(struct __sk_buff *skb, const PKT *pkt,
			     __u32 reason)
{
	struct masq_policy *pol = masq_policy_of(masq_half());
	__u32 ifindex = skb->ifindex;
	struct FN(refusal) r;
	struct masq_iface *iface;

	if (reason != MASQ_R_NO_PORT && reason != MASQ_R_TABLE_FULL &&
	    reason != MASQ_R_POD_QUOTA)
		return 0;
	if (!pkt->simple || pkt->class != MASQ_C_OPENER || skb->gso_size ||
	    !skb->ingress_ifindex || !pol ||
	    (pkt->proto == IPPROTO_TCP && !(pol->flags & MASQ_P_REJECT_TCP)))
		return 0;
	iface = bpf_map_lookup_elem(&masq_ifaces, &ifindex);
	if (!iface || !masq_may_refuse())
		return 0;
	__builtin_memset(&r, 0, sizeof(r));
	if (bpf_skb_load_bytes(skb, pkt->l3_off, r.quote, sizeof(r.quote)))
		return 0;
#if FAM == 4
	r.ip.version = 4;
	r.ip.ihl = 5;
	r.ip.tot_len = bpf_htons(sizeof(r));
	r.ip.ttl = 64;
	r.ip.protocol = IPPROTO_ICMP;
	r.ip.saddr = iface->addr4;
	r.ip.daddr = pkt->key.in_addr[0];
	r.ip.check = masq_csum_fold(
		bpf_csum_diff(NULL, 0, (__be32 *)&r.ip, sizeof(r.ip), 0));
	r.icmp.type = ICMP_DEST_UNREACH;
	r.icmp.code = 13; /* communication administratively prohibited */
	r.icmp.checksum = masq_csum_fold(
		bpf_csum_diff(NULL, 0, (__be32 *)&r.icmp,
			      sizeof(r.icmp) + sizeof(r.quote), 0));
#else
	__u32 length = sizeof(r.icmp) + sizeof(r.quote);

	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(length);
	r.ip.nexthdr = IPPROTO_ICMPV6;
	r.ip.hop_limit = 64;
	FN(addr_copy)(r.ip.saddr.in6_u.u6_addr32, iface->addr6);
	FN(addr_copy)(r.ip.daddr.in6_u.u6_addr32, pkt->key.in_addr);
	r.icmp.type = 1; /* destination unreachable */
	r.icmp.code = 1; /* administratively prohibited */
	/* The sender may have left its UDP checksum to a device, which then
	 * sums up our message from its first byte on and puts the result where
	 * that was: in bytes 6 and 7, which nobody reads. What it finds there,
	 * and writes there again, has to be the pseudo-header's sum. */
	r.icmp.sequence =
		~masq_csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&r.ip.saddr,
					      32, bpf_htonl(length)) +
				bpf_htonl(IPPROTO_ICMPV6));
	/* pseudo-header: both addresses, length, next header */
	r.icmp.checksum =
		masq_csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&r.ip.saddr,
					     32 + length, bpf_htonl(length)) +
			       bpf_htonl(IPPROTO_ICMPV6));
#endif
	if (bpf_skb_change_tail(skb, pkt->l3_off + sizeof(r), 0) ||
	    bpf_skb_store_bytes(skb, pkt->l3_off, &r, sizeof(r),
				BPF_F_RECOMPUTE_CSUM))
		return 0;
	masq_stat(MASQ_S_REFUSED, 1);
	return 1;
}
