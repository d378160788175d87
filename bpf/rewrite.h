/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rewrite.h - writes one address and one port or ICMP identifier into a packet
 * and keeps every checksum right, whatever the skb's checksum state: L4 sums
 * are changed by bpf_l4_csum_replace only, which knows CHECKSUM_PARTIAL and
 * COMPLETE. Decides nothing. Included once per family by family.h.
 */

MASQ_INLINE __u32 FN(csum_offset)(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return 6;
	case PROTO_ICMP:
		return 2;
	default:
		return 0; /* none, or (SCTP) none that covers addresses */
	}
}

/*
 * Source (egress) or destination (ingress) becomes addr:port. The old values
 * are those of the inside view in pkt->key. 0 or a negative number, after
 * which the packet must be dropped: half of it may have been written.
 */
MASQ_INLINE int FN(rewrite)(struct __sk_buff *skb, const PKT *pkt,
			    const __be32 *addr, __be16 port, const __u32 l2_len,
			    const enum masq_dir dir)
{
	const __u32 addr_off = dir == MASQ_EGRESS ? SADDR_OFF : DADDR_OFF;
	bool icmp = pkt->proto == PROTO_ICMP;
	__u32 port_off = icmp ? 4 : dir == MASQ_EGRESS ? 0 : 2;
	__u32 csum = FN(csum_offset)(pkt->proto);
	bool new_port = port != pkt->key.in_port;
	__u64 flags = 0;

	if (likely(pkt->simple)) {
		void *data = (void *)(long)skb->data;
		void *end = (void *)(long)skb->data_end;
		void *l3 = data + l2_len;

		if (l3 + L3_HLEN + 8 > end)
			return -1;
#if FAM == 4
		struct iphdr *ip = l3;

		ip->check = masq_csum_replace4(ip->check, pkt->key.in_addr[0],
					       addr[0]);
#endif
		FN(addr_copy)(l3 + addr_off, addr);
		if (new_port)
			*(__be16 *)(l3 + L3_HLEN + port_off) = port;
		csum += l2_len + L3_HLEN;
	} else {
#if FAM == 4
		if (bpf_l3_csum_replace(skb, pkt->l3_off + 10,
					pkt->key.in_addr[0], addr[0], 4))
			return -1;
#endif
		if (bpf_skb_store_bytes(skb, pkt->l3_off + addr_off, addr,
					WORDS * 4, 0))
			return -1;
		if (new_port && bpf_skb_store_bytes(skb, pkt->l4_off + port_off,
						    &port, sizeof(port), 0))
			return -1;
		if (!csum) {
#if FAM == 6
			/* nothing in the packet balances the new address */
			bpf_csum_update(
				skb, bpf_csum_diff((__be32 *)pkt->key.in_addr,
						   WORDS * 4, (__be32 *)addr,
						   WORDS * 4, 0));
#endif
			return 0;
		}
		csum += pkt->l4_off;
	}
	/* RFC 768, RFC 3828: a sum of 0 is sent as all ones */
	if (pkt->proto == IPPROTO_UDP || pkt->proto == IPPROTO_UDPLITE)
		flags = BPF_F_MARK_MANGLED_0;
	if (new_port && bpf_l4_csum_replace(skb, csum, pkt->key.in_port, port,
					    flags | sizeof(port)))
		return -1;
#if FAM == 4
	if (icmp)
		return 0; /* no pseudo-header */
	return bpf_l4_csum_replace(skb, csum, pkt->key.in_addr[0], addr[0],
				   flags | BPF_F_PSEUDO_HDR | sizeof(__be32));
#else
	__s64 diff = bpf_csum_diff((__be32 *)pkt->key.in_addr, WORDS * 4,
				   (__be32 *)addr, WORDS * 4, 0);

	if (bpf_l4_csum_replace(skb, csum, 0, diff, flags | BPF_F_PSEUDO_HDR))
		return -1;
	/*
	 * With CHECKSUM_COMPLETE the kernel has now taken the L4 checksum's
	 * change out of skb->csum, counting on an IPv4 header checksum to
	 * balance the address; IPv6 has none. Fails harmlessly otherwise.
	 */
	bpf_csum_update(skb, diff);
	return 0;
#endif
}
