/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * icmp.h - ICMP errors about translated flows: finds the flow by the quoted
 * packet, rewrites the outer address and the quoted one, and puts the sums
 * right (RFC 5508 section 4, RFC 7915 for what a quote may look like). An
 * error neither refreshes nor ends its flow. Included once per family by
 * family.h.
 */

/* What is needed of the quoted packet. */
struct FN(quote) {
	KEY key; /* inside view */
	__u32 l3_off;
	__u32 l4_off;
	__u32 end; /* of the outer packet */
	__be16 ip_check;
};

_Static_assert(sizeof(struct FN(quote)) <=
		       sizeof(((struct masq_scratch *)0)->quote),
	       "quote");

/*
 * Reads the quote. An error that comes in quotes what went out, so inside is
 * its source; one that goes out quotes what came in. False: nothing in it that
 * could name a flow.
 */
MASQ_NOINLINE int FN(parse_quote)(struct __sk_buff *skb, const PKT *pkt,
				  struct FN(quote) * q, enum masq_dir dir)
{
	struct {
		__be16 source;
		__be16 dest;
		__be16 id;
		__be16 more;
	} l4;
	const __be32 *src, *dst;
	__u32 off = pkt->l4_off + 8;
	__u8 next;

	__builtin_memset(q, 0, sizeof(*q));
	q->l3_off = off;
	q->end = pkt->l3_off + pkt->l3_len;
#if FAM == 4
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
		return false;
	if (ip.version != 4 || ip.ihl < 5 || (ip.frag_off & bpf_htons(0x1fff)))
		return false;
	q->ip_check = ip.check;
	next = ip.protocol;
	src = &ip.saddr;
	dst = &ip.daddr;
	off += ip.ihl * 4;
#else
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
		return false;
	if (ip.version != 6)
		return false;
	next = ip.nexthdr;
	src = ip.saddr.in6_u.u6_addr32;
	dst = ip.daddr.in6_u.u6_addr32;
	off += sizeof(ip);
	for (int i = 0; i < 4; i++) {
		__u8 h[4];

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, off, h, sizeof(h)))
			return false;
		if (next == IPPROTO_FRAGMENT && ((h[2] << 8 | h[3]) & 0xfff8))
			return false;
		off += next == IPPROTO_FRAGMENT ? 8 : (h[1] + 1) * 8;
		next = h[0];
	}
#endif
	q->l4_off = off;
	q->key.proto = next;
	FN(addr_copy)(q->key.in_addr, dir == MASQ_INGRESS ? src : dst);
	FN(addr_copy)(q->key.rem_addr, dir == MASQ_INGRESS ? dst : src);
	if (!FN(proto_has_ports)(next) && next != PROTO_ICMP)
		return true;
	if (off + 8 > q->end || bpf_skb_load_bytes(skb, off, &l4, sizeof(l4)))
		return false;
	if (next == PROTO_ICMP) {
		__u8 type = bpf_ntohs(l4.source) >> 8;
		bool request = type ==
			       (FAM == 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST);

		if (!request &&
		    type != (FAM == 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY))
			return false;
		q->key.in_port = l4.id;
		/* a request that came in, a reply that went out */
		if (request == (dir == MASQ_EGRESS))
			q->key.role = MASQ_ROLE_QUERY;
	} else {
		q->key.in_port = dir == MASQ_INGRESS ? l4.source : l4.dest;
		q->key.rem_port = dir == MASQ_INGRESS ? l4.dest : l4.source;
	}
	return true;
}

/* The fields of the quote that change, for one sum over all of them. */
struct FN(quote_fields) {
	__be32 addr[WORDS];
	__be16 port;
	__be16 pad;
	__be16 ip_check;
	__be16 l4_check;
};

/*
 * Writes addr:port into the quote and corrects the outer ICMP checksum. 0, or
 * negative when half of it may have been written.
 */
MASQ_NOINLINE int FN(rewrite_quote)(struct __sk_buff *skb, const PKT *pkt,
				    const struct FN(quote) * q, const VIEW *f,
				    enum masq_dir dir)
{
	__u8 proto = q->key.proto;
	bool icmp = proto == PROTO_ICMP;
	bool udp = proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;
	__u32 addr_off = dir == MASQ_INGRESS ? SADDR_OFF : DADDR_OFF;
	__u32 port_off = icmp ? 4 : dir == MASQ_INGRESS ? 0 : 2;
	__u32 check_off = FN(csum_offset)(proto);
	struct FN(quote_fields) old = {}, new = {};
	__s64 diff;

	FN(addr_copy)(old.addr, q->key.in_addr);
	FN(addr_copy)(new.addr, f->xlat_addr);
	old.port = q->key.in_port;
	new.port = f->xlat_port;

	/* the quoted L4 checksum, where the quote reaches that far */
	if (check_off && q->l4_off + check_off + 2 <= q->end &&
	    !bpf_skb_load_bytes(skb, q->l4_off + check_off, &old.l4_check, 2) &&
	    (old.l4_check || !udp)) {
		__u32 seed = (__u16)~old.l4_check;

		if (icmp && FAM == 4) /* no pseudo-header */
			new.l4_check = masq_csum_fold(
				(__u64)seed + (__u16)~old.port + new.port);
		else
			new.l4_check = masq_csum_fold(
				bpf_csum_diff(old.addr, WORDS * 4 + 4, new.addr,
					      WORDS * 4 + 4, seed));
		if (!new.l4_check && udp)
			new.l4_check = 0xffff;
		if (bpf_skb_store_bytes(skb, q->l4_off + check_off,
					&new.l4_check, 2, 0))
			return -1;
	}
#if FAM == 4
	old.ip_check = q->ip_check;
	new.ip_check =
		masq_csum_replace4(old.ip_check, old.addr[0], new.addr[0]);
	if (bpf_skb_store_bytes(skb, q->l3_off + 10, &new.ip_check, 2, 0))
		return -1;
#endif
	if (bpf_skb_store_bytes(skb, q->l3_off + addr_off, new.addr, WORDS * 4,
				0))
		return -1;
	if (old.port != new.port &&
	    bpf_skb_store_bytes(skb, q->l4_off + port_off, &new.port, 2, 0))
		return -1;
	diff = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new,
			     sizeof(new), 0);
	return bpf_l4_csum_replace(skb, pkt->l4_off + 2, 0, diff, 0);
}

/*
 * An ICMP error, either way. MASQ_NOT_OURS: it is about no flow of ours, and the
 * caller goes on with it as with any packet without a record.
 */
MASQ_NOINLINE int FN(icmp_error)(struct __sk_buff *skb, PKT *pkt,
				 enum masq_dir dir)
{
	__u8 translated = dir == MASQ_INGRESS ? MASQ_K_REV : MASQ_K_FWD;
	struct masq_scratch *s = masq_scratch_get(0);
	struct FN(quote) * q;
	__u32 packets, bytes;
	VIEW v, *f = &v;
	int ret = 0;

	if (!s)
		return MASQ_NOT_OURS;
	q = (struct FN(quote) *)s->quote;
	if (!FN(parse_quote)(skb, pkt, q, dir))
		return MASQ_NOT_OURS;
	/* about a flow of the node's own that had to change its port: the pod's
	 * that has the first one is not meant */
	if (dir == MASQ_EGRESS && masq_host_flows() && !q->key.role &&
	    FN(addr_equal)(pkt->key.in_addr, q->key.in_addr)) {
		q->key.role = MASQ_ROLE_HOST;
		if (FN(find_far)(MASQ_KEY_WORDS(&q->key)) == MASQ_NO_SLOT)
			q->key.role = MASQ_ROLE_FLOW;
	}
	if (!FN(see_out_of_line)(&q->key, f) || !FN(live)(f, masq_now()))
		return masq_before && FN(is_inherited)(&q->key, masq_now())
			       ? MASQ_INHERIT
			       : MASQ_NOT_OURS;
	/* it must go back to the address that the quoted packet came from;
	 * anything else only pretends to belong to this flow */
	if (!(dir == MASQ_INGRESS
		      ? FN(addr_equal)(pkt->key.in_addr, q->key.in_addr)
		      : FN(addr_equal)(pkt->key.rem_addr, q->key.rem_addr)))
		return MASQ_NOT_OURS;
	/* nor does a pod know what this node looks like from outside */
	if (f->kind != translated && f->kind != MASQ_K_KEEP &&
	    f->kind != MASQ_K_INBOUND)
		return MASQ_NOT_OURS;
	FN(packet_size)(skb, pkt, &packets, &bytes);
	masq_count_prefix(f->prefix, dir, packets, bytes, 0);
	if (f->kind != translated)
		return MASQ_R_NONE; /* not translated, so neither is this */

	pkt->simple = 0; /* offsets are not constant here */
	/*
	 * An error that the node itself makes about a packet it has already
	 * translated leaves with the node's address; only its quote has to
	 * become what the far side knows. A pod's own may come without an
	 * interface too, as its other packets may.
	 */
	if (dir == MASQ_INGRESS)
		ret = FN(rewrite)(skb, pkt, f->xlat_addr, pkt->key.in_port, 0,
				  MASQ_INGRESS);
	else if (skb->ingress_ifindex ||
		 FN(addr_equal)(pkt->key.in_addr, q->key.in_addr))
		ret = FN(rewrite)(skb, pkt, f->xlat_addr, pkt->key.in_port, 0,
				  MASQ_EGRESS);
	if (!ret)
		ret = FN(rewrite_quote)(skb, pkt, q, f, dir);
	return ret ? MASQ_R_REWRITE : MASQ_R_NONE;
}
