// SPDX-License-Identifier: GPL-2.0-only
/* packet.c - see packet.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "packet.h"

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = v >> 8;
	at[1] = v & 0xff;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

static uint32_t sum16(const void *data, size_t length, uint32_t sum)
{
	const uint8_t *d = data;

	for (; length > 1; length -= 2, d += 2)
		sum += d[0] << 8 | d[1];
	if (length)
		sum += d[0] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

uint16_t packet_checksum(const void *data, size_t length, uint32_t start)
{
	return (uint16_t)~fold(sum16(data, length, start));
}

static uint32_t pseudo(bool v6, const uint8_t *src, const uint8_t *dst,
		       uint8_t proto, size_t length)
{
	size_t n = v6 ? 16 : 4;

	return sum16(src, n, 0) + sum16(dst, n, 0) + proto + (uint32_t)length;
}

static size_t build_l3(const struct packet *p, uint8_t *out, size_t limit);

/* L4 header and payload, without its checksum; returns the length. */
static size_t build_l4(const struct packet *p, uint8_t *l4, int *csum_off)
{
	size_t n = 0;

	*csum_off = -1;
	if (p->frag_off) {
		/* middle of a datagram: bytes only */
	} else if (p->proto == IPPROTO_TCP) {
		n = 20;
		memset(l4, 0, n);
		put16(l4, p->sport);
		put16(l4 + 2, p->dport);
		put32(l4 + 4, p->seq);
		put32(l4 + 8, p->ack);
		l4[12] = (p->doff ? p->doff : 5) << 4;
		l4[13] = p->flags;
		put16(l4 + 14, 65535);
		*csum_off = 16;
	} else if (p->proto == IPPROTO_UDP || p->proto == IPPROTO_UDPLITE) {
		n = 8;
		put16(l4, p->sport);
		put16(l4 + 2, p->dport);
		put16(l4 + 4, p->udp_len ? p->udp_len : 8 + p->length);
		put16(l4 + 6, 0);
		*csum_off = p->udp_no_checksum ? -1 : 6;
	} else if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) {
		n = 8;
		l4[0] = p->flags;
		l4[1] = p->code;
		put16(l4 + 2, 0);
		put16(l4 + 4, p->sport);
		put16(l4 + 6, p->dport);
		if (p->quoted)
			put32(l4 + 4, p->rest);
		*csum_off = 2;
	} else if (p->proto == IPPROTO_SCTP || p->proto == IPPROTO_DCCP) {
		n = p->proto == IPPROTO_SCTP ? 12 : 16;
		memset(l4, 0, n);
		put16(l4, p->sport);
		put16(l4 + 2, p->dport);
		if (p->proto == IPPROTO_DCCP) {
			l4[4] = 4;
			*csum_off = 6;
		} else {
			put32(l4 + 8, 0xfeedface); /* CRC32c, not checked */
		}
	}
	if (p->quoted) {
		uint8_t inner[PACKET_MAX];
		size_t length = build_l3(p->quoted, inner, sizeof(inner));

		if (p->quoted_length && p->quoted_length < length)
			length = p->quoted_length;
		memcpy(l4 + n, inner, length);
		return n + length;
	}
	for (size_t i = 0; i < p->length; i++)
		l4[n + i] = p->payload ? ((const uint8_t *)p->payload)[i]
				       : (uint8_t)(i * 7 + 1);
	return n + p->length;
}

static size_t build_l3(const struct packet *p, uint8_t *out, size_t limit)
{
	bool v6 = strchr(p->src, ':') != NULL;
	uint8_t src[16], dst[16], *l4;
	size_t hlen, l4len;
	int csum_off;
	uint32_t sum;

	(void)limit;
	inet_pton(v6 ? AF_INET6 : AF_INET, p->src, src);
	inet_pton(v6 ? AF_INET6 : AF_INET, p->dst, dst);
	if (v6) {
		uint8_t next = p->proto;
		uint8_t *at = out + 40;

		memset(out, 0, 40);
		out[0] = 0x60 | p->tos >> 4;
		out[1] = p->tos << 4;
		out[7] = p->ttl ? p->ttl : 64;
		memcpy(out + 8, src, 16);
		memcpy(out + 24, dst, 16);
		out[6] = next;
		if (p->ip_options) { /* one PadN of 4 */
			memset(at, 0, 8);
			at[0] = out[6];
			at[2] = 1;
			at[3] = 4;
			out[6] = 60;
			at += 8;
		}
		if (p->frag_off || p->more_fragments) {
			uint8_t *proto = p->ip_options ? at - 8 : out + 6;

			memset(at, 0, 8);
			at[0] = *proto;
			put16(at + 2, p->frag_off << 3 | p->more_fragments);
			put32(at + 4, p->id);
			*proto = 44;
			at += 8;
		}
		l4 = at;
		hlen = (size_t)(at - out);
	} else {
		hlen = 20 + p->ip_options;
		memset(out, 0, hlen);
		out[0] = 0x40 | (p->ihl ? p->ihl : hlen / 4);
		out[1] = p->tos;
		put16(out + 4, p->id);
		put16(out + 6, p->frag_off | (p->more_fragments ? 0x2000 : 0));
		out[8] = p->ttl ? p->ttl : 64;
		out[9] = p->proto;
		memcpy(out + 12, src, 4);
		memcpy(out + 16, dst, 4);
		for (size_t i = 20; i < hlen; i++)
			out[i] = 1; /* no-operation */
		l4 = out + hlen;
	}
	l4len = build_l4(p, l4, &csum_off);
	if (v6) {
		put16(out + 4,
		      p->tot_len ? p->tot_len : (uint16_t)(hlen - 40 + l4len));
	} else {
		put16(out + 2, p->tot_len == 0xffff ? 0
			       : p->tot_len	    ? p->tot_len
						    : (uint16_t)(hlen + l4len));
		put16(out + 10, packet_checksum(out, hlen, 0));
	}
	if (csum_off >= 0) {
		sum = p->proto == IPPROTO_ICMP
			      ? 0
			      : pseudo(v6, src, dst, p->proto, l4len);
		if (p->partial) {
			put16(l4 + csum_off, fold(sum));
		} else {
			uint16_t c = packet_checksum(l4, l4len, sum);

			if (!c && (p->proto == IPPROTO_UDP ||
				   p->proto == IPPROTO_UDPLITE))
				c = 0xffff;
			put16(l4 + csum_off, p->bad_checksum ? c ^ 0x5555 : c);
		}
	}
	return hlen + l4len;
}

size_t packet_build(const struct packet *p, uint8_t *frame)
{
	bool v6 = strchr(p->src, ':') != NULL;
	uint16_t ethertype = v6 ? 0x86dd : 0x0800;
	size_t n = 0;

	if (!p->no_ethernet) {
		memcpy(frame,
		       "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02", 12);
		n = 12;
		if (p->vlan) {
			put16(frame + n, 0x8100);
			put16(frame + n + 2, p->vlan);
			n += 4;
		}
		put16(frame + n, p->mpls ? 0x8847 : ethertype);
		n += 2;
	}
	for (int i = 1; i <= p->mpls; i++) {
		put16(frame + n, i);
		put16(frame + n + 2, (i == p->mpls) << 8 | 64);
		n += 4;
	}
	return n + build_l3(p, frame + n, PACKET_MAX - n);
}

const char *packet_text(const uint8_t *frame, size_t length)
{
	static char text[256];
	char src[64] = "?", dst[64] = "?";
	const uint8_t *l3 = frame + 14, *l4;
	bool v6;

	if (length < 34)
		return "(short)";
	if (frame[12] == 0x81)
		l3 += 4;
	v6 = l3[0] >> 4 == 6;
	inet_ntop(v6 ? AF_INET6 : AF_INET, l3 + (v6 ? 8 : 12), src,
		  sizeof(src));
	inet_ntop(v6 ? AF_INET6 : AF_INET, l3 + (v6 ? 24 : 16), dst,
		  sizeof(dst));
	l4 = l3 + (v6 ? 40 : (l3[0] & 15) * 4);
	snprintf(text, sizeof(text), "%s:%u > %s:%u proto %u length %zu", src,
		 l4[0] << 8 | l4[1], dst, l4[2] << 8 | l4[3],
		 v6 ? l3[6] : l3[9], length);
	return text;
}
