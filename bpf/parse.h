/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse.h - packet to PKT. Reads only, decides nothing. Included once per
 * family by family.h.
 *
 * Two ways in: the simple one reads directly (L3 at a constant offset, no
 * options or extension headers, no fragment, headers in the linear part); all
 * else goes through bpf_skb_load_bytes. A variable header length never enters
 * packet pointer arithmetic, which would need CAP_PERFMON.
 */

PKT
{
	KEY key; /* inside view */
	__u32 l3_off;
	__u32 l4_off;
	__u32 l3_len; /* of the whole skb, a GSO super-packet included */
	__u32 hdr_len; /* L3 + L4 headers: what each GSO segment repeats */
	__u8 proto;
	__u8 class; /* enum masq_class */
	__u8 seen; /* MASQ_SEEN_* that this packet shows */
	__u8 simple; /* direct access works */
	__u8 icmp_type;
	__u8 fragment; /* first fragment, with more to come */
	__u16 frag_off; /* bytes */
	__be32 frag_id;
	__u32 tcp_seq; /* host order */
	__u32 tcp_ack;
	__u32 redirect; /* fast path: into this interface's peer */
};

_Static_assert(sizeof(PKT) <= sizeof(((struct masq_scratch *)0)->pkt), "PKT");

MASQ_INLINE void FN(addr_copy)(__be32 *to, const __be32 *from)
{
	to[0] = from[0];
#if FAM == 6
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
#endif
}

MASQ_INLINE bool FN(addr_equal)(const __be32 *a, const __be32 *b)
{
#if FAM == 4
	return a[0] == b[0];
#else
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
#endif
}

MASQ_INLINE bool FN(addr_is_zero)(const __be32 *a)
{
#if FAM == 4
	return !a[0];
#else
	return !(a[0] | a[1] | a[2] | a[3]);
#endif
}

/* Addresses and ports into the inside view. */
MASQ_INLINE void FN(parse_addrs)(PKT *pkt, const __be32 *saddr,
				 const __be32 *daddr, const enum masq_dir dir)
{
	FN(addr_copy)(pkt->key.in_addr, dir == MASQ_EGRESS ? saddr : daddr);
	FN(addr_copy)(pkt->key.rem_addr, dir == MASQ_EGRESS ? daddr : saddr);
}

MASQ_INLINE void FN(parse_ports)(PKT *pkt, __be16 sport, __be16 dport,
				 const enum masq_dir dir)
{
	pkt->key.in_port = dir == MASQ_EGRESS ? sport : dport;
	pkt->key.rem_port = dir == MASQ_EGRESS ? dport : sport;
}

MASQ_INLINE void FN(parse_tcp)(PKT *pkt, const struct tcphdr *tcp,
			       const enum masq_dir dir)
{
	__u8 flags = ((const __u8 *)tcp)[13];
	__u8 sfr = flags & (MASQ_TCP_SYN | MASQ_TCP_FIN | MASQ_TCP_RST);
	__u8 seen = MASQ_SEEN_ONE;

	FN(parse_ports)(pkt, tcp->source, tcp->dest, dir);
	pkt->hdr_len += tcp->doff * 4;
	if (likely(!sfr && (flags & MASQ_TCP_ACK))) {
		pkt->class = MASQ_C_ACK;
		pkt->seen = seen | MASQ_SEEN_ACK;
	} else {
		if (flags & MASQ_TCP_SYN)
			seen |= MASQ_SEEN_SYN;
		if (flags & MASQ_TCP_ACK)
			seen |= MASQ_SEEN_ACK;
		if (flags & MASQ_TCP_FIN)
			seen |= MASQ_SEEN_FIN;
		if (flags & MASQ_TCP_RST)
			seen |= MASQ_SEEN_RST;
		pkt->seen = seen;
		pkt->class = sfr == MASQ_TCP_SYN && !(flags & MASQ_TCP_ACK)
				     ? MASQ_C_OPENER
				     : MASQ_C_OTHER;
	}
	pkt->tcp_seq = bpf_ntohl(tcp->seq);
	pkt->tcp_ack = bpf_ntohl(tcp->ack_seq);
	if (unlikely(tcp->doff < 5))
		pkt->class = MASQ_C_MALFORMED;
}

/*
 * ICMP queries carry their identifier where others have a port. Who asked
 * tells two queries with one identifier apart: role QUERY is a query from
 * outside. RFC 5508 section 3.
 */
MASQ_INLINE void FN(parse_icmp)(PKT *pkt, const struct masq_icmphdr *icmp,
				const enum masq_dir dir)
{
	bool request, reply;
	__u8 type = icmp->type;

	pkt->icmp_type = type;
#if FAM == 4
	request = type == ICMP_ECHO || type == ICMP_TIMESTAMP ||
		  type == ICMP_INFO_REQUEST || type == ICMP_ADDRESS;
	reply = type == ICMP_ECHOREPLY || type == ICMP_TIMESTAMPREPLY ||
		type == ICMP_INFO_REPLY || type == ICMP_ADDRESSREPLY;
#else
	request = type == ICMPV6_ECHO_REQUEST;
	reply = type == ICMPV6_ECHO_REPLY;
#endif
	pkt->hdr_len += 8;
	if (request || reply) {
		pkt->seen = MASQ_SEEN_ONE;
		pkt->key.in_port = icmp->id;
		if (request == (dir == MASQ_INGRESS))
			pkt->key.role = MASQ_ROLE_QUERY;
		pkt->class = request ? MASQ_C_OPENER : MASQ_C_OTHER;
		return;
	}
#if FAM == 4
	pkt->class = type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH ||
				     type == ICMP_TIME_EXCEEDED ||
				     type == ICMP_PARAMETERPROB
			     ? MASQ_C_ICMP_ERROR
			     : MASQ_C_MESSAGE;
#else
	if (type >= 130 && type <= 137)
		pkt->class = MASQ_C_DISCOVERY; /* MLD, RFC 4861 */
	else if (type == 143)
		pkt->class = MASQ_C_DISCOVERY; /* MLDv2 */
	else
		pkt->class = type < 128 ? MASQ_C_ICMP_ERROR : MASQ_C_MESSAGE;
#endif
}

MASQ_INLINE bool FN(proto_has_ports)(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_DCCP;
}

/*
 * The hot way. True when the packet was simple and *pkt is filled; *pkt is
 * zeroed by the caller.
 */
MASQ_INLINE bool FN(parse_simple)(struct __sk_buff *skb, PKT *pkt,
				  const __u32 l2_len, const enum masq_dir dir)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	void *l3 = data + l2_len, *l4 = l3 + L3_HLEN;

	if (l4 + sizeof(struct udphdr) > end)
		return false;
#if FAM == 4
	const struct iphdr *ip = l3;

	if (*(const __u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)))
		return false;
	pkt->proto = ip->protocol;
	pkt->l3_len = bpf_ntohs(ip->tot_len);
	FN(parse_addrs)(pkt, &ip->saddr, &ip->daddr, dir);
#else
	const struct ipv6hdr *ip = l3;

	if (*(const __u8 *)ip >> 4 != 6)
		return false;
	pkt->proto = ip->nexthdr;
	pkt->l3_len = bpf_ntohs(ip->payload_len) + L3_HLEN;
	FN(parse_addrs)
	(pkt, ip->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32, dir);
#endif
	/* lying lengths, and BIG TCP, whose length field is 0 */
	if (unlikely(pkt->l3_len < L3_HLEN + sizeof(struct udphdr) ||
		     pkt->l3_len > skb->len - l2_len))
		return false;
	pkt->key.proto = pkt->proto;
	pkt->l3_off = l2_len;
	pkt->l4_off = l2_len + L3_HLEN;
	pkt->hdr_len = L3_HLEN;
	pkt->simple = 1;
	if (pkt->proto == IPPROTO_TCP) {
		if (l4 + sizeof(struct tcphdr) > end ||
		    pkt->l3_len < L3_HLEN + sizeof(struct tcphdr))
			return false;
		FN(parse_tcp)(pkt, l4, dir);
		return true;
	}
	if (pkt->proto == IPPROTO_UDP) {
		const struct udphdr *udp = l4;

		FN(parse_ports)(pkt, udp->source, udp->dest, dir);
		pkt->hdr_len += sizeof(*udp);
		pkt->seen = MASQ_SEEN_ONE;
		pkt->class = MASQ_C_OPENER;
		if (unlikely(bpf_ntohs(udp->len) < sizeof(*udp)))
			pkt->class = MASQ_C_MALFORMED;
		return true;
	}
	if (pkt->proto == PROTO_ICMP) {
		FN(parse_icmp)(pkt, l4, dir);
		return true;
	}
	return false;
}

/* L4 of a packet whose L3 has been read; by copy. */
MASQ_INLINE void FN(parse_l4_slow)(struct __sk_buff *skb, PKT *pkt,
				   const enum masq_dir dir)
{
	union {
		struct tcphdr tcp;
		struct udphdr udp;
		struct masq_icmphdr icmp;
	} h;
	__u32 room = pkt->l3_len - (pkt->l4_off - pkt->l3_off);

	__builtin_memset(&h, 0, sizeof(h));
	pkt->hdr_len = pkt->l4_off - pkt->l3_off;
	pkt->class = MASQ_C_MALFORMED;
	if (pkt->proto == IPPROTO_TCP) {
		if (room >= sizeof(h.tcp) &&
		    !bpf_skb_load_bytes(skb, pkt->l4_off, &h.tcp,
					sizeof(h.tcp)))
			FN(parse_tcp)(pkt, &h.tcp, dir);
		return;
	}
	if (pkt->proto == PROTO_ICMP) {
		if (room >= sizeof(h.icmp) &&
		    !bpf_skb_load_bytes(skb, pkt->l4_off, &h.icmp,
					sizeof(h.icmp)))
			FN(parse_icmp)(pkt, &h.icmp, dir);
		return;
	}
	if (FN(proto_has_ports)(pkt->proto)) {
		if (room < sizeof(h.udp) ||
		    bpf_skb_load_bytes(skb, pkt->l4_off, &h.udp, sizeof(h.udp)))
			return;
		FN(parse_ports)(pkt, h.udp.source, h.udp.dest, dir);
		pkt->hdr_len += sizeof(h.udp);
		if (pkt->proto == IPPROTO_UDP &&
		    bpf_ntohs(h.udp.len) < sizeof(h.udp))
			return;
	}
	pkt->seen = MASQ_SEEN_ONE;
	pkt->class = MASQ_C_OPENER;
}

/*
 * Everything that is not simple, into the scratch slot's pkt. (What comes out
 * of a map is unknown to the verifier, which so has one state to follow from
 * here on, not one for each kind of packet.) Returns the L3 length; 0: not even
 * the addresses could be read.
 */
MASQ_GLOBAL __u32 FN(parse_slow)(struct __sk_buff *skb, __u32 l3_off, __u32 dir)
{
	struct masq_scratch *s = masq_scratch_get(0);
	__u32 have = skb->len;
	__u16 frag = 0;
	PKT *pkt;

	if (!s)
		return 0;
	pkt = (PKT *)s->pkt;
	__builtin_memset(pkt, 0, sizeof(*pkt));
	if (have < l3_off + L3_HLEN)
		return 0;
	have -= l3_off;
	pkt->l3_off = l3_off;
#if FAM == 4
	struct iphdr ip;
	__u32 hlen;

	if (bpf_skb_load_bytes(skb, l3_off, &ip, sizeof(ip)))
		return 0;
	if (dir == MASQ_EGRESS)
		FN(parse_addrs)(pkt, &ip.saddr, &ip.daddr, MASQ_EGRESS);
	else
		FN(parse_addrs)(pkt, &ip.saddr, &ip.daddr, MASQ_INGRESS);
	hlen = ip.ihl * 4;
	pkt->proto = ip.protocol;
	pkt->key.proto = ip.protocol;
	pkt->l3_len = bpf_ntohs(ip.tot_len);
	if (!pkt->l3_len && skb->gso_size)
		pkt->l3_len = have; /* BIG TCP */
	frag = bpf_ntohs(ip.frag_off);
	pkt->l4_off = l3_off + hlen;
	pkt->frag_id = ip.id;
	if (ip.version != 4 || hlen < L3_HLEN || pkt->l3_len < hlen ||
	    pkt->l3_len > have) {
		pkt->l3_len = have;
		pkt->class = MASQ_C_MALFORMED;
		return pkt->l3_len;
	}
	if (frag & 0x1fff) {
		pkt->frag_off = (frag & 0x1fff) * 8;
		pkt->class = MASQ_C_FRAGMENT;
		return pkt->l3_len;
	}
	pkt->fragment = !!(frag & 0x2000);
#else
	struct ipv6hdr ip;
	__u32 off = l3_off + sizeof(ip);
	__u8 next, i;

	if (bpf_skb_load_bytes(skb, l3_off, &ip, sizeof(ip)))
		return 0;
	if (dir == MASQ_EGRESS)
		FN(parse_addrs)
	(pkt, ip.saddr.in6_u.u6_addr32, ip.daddr.in6_u.u6_addr32, MASQ_EGRESS);
	else FN(parse_addrs)(pkt, ip.saddr.in6_u.u6_addr32,
			     ip.daddr.in6_u.u6_addr32, MASQ_INGRESS);
	pkt->l3_len = bpf_ntohs(ip.payload_len) + L3_HLEN;
	if (!ip.payload_len && (skb->gso_size || ip.nexthdr == 0))
		pkt->l3_len = have; /* BIG TCP, RFC 2675 */
	next = ip.nexthdr;
	if (ip.version != 6 || pkt->l3_len > have) {
		pkt->l3_len = have;
		pkt->class = MASQ_C_MALFORMED;
		return pkt->l3_len;
	}
	/* RFC 8200 section 4; a chain longer than this is malformed to us */
	for (i = 0; i < 8; i++) {
		__u8 h[8];

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_DSTOPTS && next != IPPROTO_MH &&
		    next != IPPROTO_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, off, h, sizeof(h))) {
			pkt->class = MASQ_C_MALFORMED;
			return pkt->l3_len;
		}
		if (next == IPPROTO_FRAGMENT) {
			frag = (h[2] << 8 | h[3]);
			__builtin_memcpy(&pkt->frag_id, h + 4, 4);
			next = h[0];
			off += 8;
			if (frag & 0xfff8) {
				pkt->frag_off = frag & 0xfff8;
				pkt->proto = next;
				pkt->key.proto = next;
				pkt->l4_off = off;
				pkt->class = MASQ_C_FRAGMENT;
				return pkt->l3_len;
			}
			pkt->fragment = frag & 1;
		} else {
			next = h[0];
			off += (h[1] + 1) * 8;
		}
	}
	pkt->proto = next;
	pkt->key.proto = next;
	pkt->l4_off = off;
	if (i == 8 || off - l3_off > pkt->l3_len) {
		pkt->class = MASQ_C_MALFORMED;
		return pkt->l3_len;
	}
#endif
	if (dir == MASQ_EGRESS)
		FN(parse_l4_slow)(skb, pkt, MASQ_EGRESS);
	else
		FN(parse_l4_slow)(skb, pkt, MASQ_INGRESS);
	return pkt->l3_len;
}

/* Wire packets of the skb and their L3 bytes: GSO repeats the headers. */
MASQ_INLINE void FN(packet_size)(struct __sk_buff *skb, const PKT *pkt,
				 __u32 *packets, __u32 *bytes)
{
	__u32 size = skb->gso_size, segments;

	*packets = 1;
	*bytes = pkt->l3_len;
	if (likely(!size))
		return;
	segments = skb->gso_segs;
	if (!segments) /* SKB_GSO_DODGY: not counted by the sender */
		segments = (pkt->l3_len - pkt->hdr_len + size - 1) / size;
	if (segments > 1) {
		*packets = segments;
		*bytes += (segments - 1) * pkt->hdr_len;
	}
}
