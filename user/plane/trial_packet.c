// SPDX-License-Identifier: GPL-2.0-only
/* trial_packet.c - written and read byte by byte: no header is trusted. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include "plane/trial_packet.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define HOPS	64

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static size_t addr_size(const struct addr *addr)
{
	return addr->family == 4 ? 4 : 16;
}

/* --- writing ------------------------------------------------------------- */

static uint32_t sum(uint32_t start, const uint8_t *at, size_t length)
{
	for (; length > 1; at += 2, length -= 2)
		start += get16(at);
	return length ? start + (at[0] << 8) : start;
}

static uint16_t fold(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return ~value;
}

/* The checksum of what follows the IP header, with the pseudo header. */
static uint16_t checksum(const struct trial_ends *ends, const uint8_t *at,
			 size_t length)
{
	uint32_t start = 0;

	if (ends->proto != IPPROTO_ICMP) {
		start = sum(start, (const uint8_t *)ends->local.a,
			    addr_size(&ends->local));
		start = sum(start, (const uint8_t *)ends->remote.a,
			    addr_size(&ends->remote));
		start += ends->proto + length;
	}
	return fold(sum(start, at, length));
}

/* Writes the IP header; returns its length. */
static size_t put_ip(const struct trial_ends *ends, size_t length, uint8_t *buf)
{
	if (ends->local.family == 4) {
		memset(buf, 0, 20);
		buf[0] = 0x45;
		put16(buf + 2, 20 + length);
		put16(buf + 6, 0x4000); /* not to be fragmented */
		buf[8] = HOPS;
		buf[9] = ends->proto;
		memcpy(buf + 12, ends->local.a, 4);
		memcpy(buf + 16, ends->remote.a, 4);
		put16(buf + 10, fold(sum(0, buf, 20)));
		return 20;
	}
	memset(buf, 0, 8);
	buf[0] = 0x60;
	put16(buf + 4, length);
	buf[6] = ends->proto;
	buf[7] = HOPS;
	memcpy(buf + 8, ends->local.a, 16);
	memcpy(buf + 24, ends->remote.a, 16);
	return 40;
}

static size_t put_tcp(const struct trial_ends *ends, uint32_t seq,
		      uint8_t flags, uint8_t *buf)
{
	/* a SYN that looks like others: some firewalls mind one without */
	static const uint8_t mss[] = { 2, 4, 0x04, 0xc4 }; /* 1220 */
	size_t length = flags & TCP_SYN ? 20 + sizeof(mss) : 20;
	size_t at = put_ip(ends, length, buf);
	uint8_t *tcp = buf + at;

	memset(tcp, 0, 20);
	put16(tcp, ends->local_port);
	put16(tcp + 2, ends->remote_port);
	put32(tcp + 4, seq);
	tcp[12] = length / 4 << 4;
	tcp[13] = flags;
	put16(tcp + 14, flags & TCP_SYN ? 64240 : 0);
	if (flags & TCP_SYN)
		memcpy(tcp + 20, mss, sizeof(mss));
	put16(tcp + 16, checksum(ends, tcp, length));
	return at + length;
}

size_t trial_opener(const struct trial_ends *ends, const void *payload,
		    size_t length, uint8_t *buf)
{
	size_t at;
	uint8_t *head;

	if (ends->proto == IPPROTO_TCP)
		return put_tcp(ends, ends->seq, TCP_SYN, buf);
	if (length > TRIAL_PAYLOAD_MAX)
		length = TRIAL_PAYLOAD_MAX;
	at = put_ip(ends, 8 + length, buf);
	head = buf + at;
	memset(head, 0, 8);
	if (length)
		memcpy(head + 8, payload, length);
	if (ends->proto == IPPROTO_UDP) {
		uint16_t check;

		put16(head, ends->local_port);
		put16(head + 2, ends->remote_port);
		put16(head + 4, 8 + length);
		check = checksum(ends, head, 8 + length);
		/* 0 would say that there is none */
		put16(head + 6, check ?: 0xffff);
	} else {
		head[0] = ends->proto == IPPROTO_ICMP ? 8 : 128;
		put16(head + 4, ends->local_port);
		put16(head + 6, ends->seq);
		put16(head + 2, checksum(ends, head, 8 + length));
	}
	return at + 8 + length;
}

size_t trial_reset(const struct trial_ends *ends, uint8_t *buf)
{
	return put_tcp(ends, ends->seq + 1, TCP_RST, buf);
}

/* --- reading ------------------------------------------------------------- */

/* An IP packet cut into its parts. */
struct parts {
	uint8_t proto;
	struct addr src, dst;
	const uint8_t *rest;
	size_t length;
};

static bool cut(const uint8_t *packet, size_t length, uint8_t family,
		struct parts *out)
{
	size_t head = family == 4 ? 20 : 40;

	if (length < head || packet[0] >> 4 != family)
		return false;
	out->src = out->dst = (struct addr){ .family = family };
	if (family == 4) {
		head = (packet[0] & 15) * 4;
		if (head < 20 || head > length || get16(packet + 6) & 0x1fff)
			return false;
		out->proto = packet[9];
		memcpy(out->src.a, packet + 12, 4);
		memcpy(out->dst.a, packet + 16, 4);
	} else {
		out->proto = packet[6];
		memcpy(out->src.a, packet + 8, 16);
		memcpy(out->dst.a, packet + 24, 16);
	}
	out->rest = packet + head;
	out->length = length - head;
	return true;
}

/* Is it the attempt's own packet that an error quotes? */
static bool quotes(const struct trial_ends *ends, const uint8_t *packet,
		   size_t length)
{
	struct parts q;

	if (!cut(packet, length, ends->local.family, &q) || q.length < 8 ||
	    q.proto != ends->proto || !addr_equal(&q.src, &ends->local) ||
	    !addr_equal(&q.dst, &ends->remote))
		return false;
	if (ends->proto == IPPROTO_ICMP || ends->proto == IPPROTO_ICMPV6)
		return get16(q.rest + 4) == ends->local_port &&
		       get16(q.rest + 6) == (uint16_t)ends->seq;
	return get16(q.rest) == ends->local_port &&
	       get16(q.rest + 2) == ends->remote_port &&
	       (ends->proto != IPPROTO_TCP || get32(q.rest + 4) == ends->seq);
}

static enum trial_answer read_tcp(const struct trial_ends *ends,
				  const struct parts *p)
{
	uint8_t flags;

	if (p->length < 20 || get16(p->rest) != ends->remote_port ||
	    get16(p->rest + 2) != ends->local_port)
		return TRIAL_NOTHING;
	flags = p->rest[13];
	if (!(flags & TCP_ACK))
		return TRIAL_NOTHING;
	if (get32(p->rest + 8) != ends->seq + 1)
		/* RFC 5961: "I know you already", with the numbers of that */
		return flags & (TCP_SYN | TCP_RST | TCP_FIN) ? TRIAL_NOTHING
							     : TRIAL_BUSY;
	if (flags & TCP_RST)
		return TRIAL_RESET;
	return flags & TCP_SYN ? TRIAL_OPEN : TRIAL_NOTHING;
}

static bool is_error(const struct trial_ends *ends, uint8_t type)
{
	if (ends->local.family == 4)
		return type == 3 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

struct trial_reply trial_read(const struct trial_ends *ends,
			      const uint8_t *packet, size_t length)
{
	uint8_t icmp = ends->local.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	struct trial_reply reply = {};
	struct parts p;

	if (!cut(packet, length, ends->local.family, &p))
		return reply;
	if (p.proto == icmp && p.length >= 8 && is_error(ends, p.rest[0])) {
		if (!quotes(ends, p.rest + 8, p.length - 8))
			return reply;
		reply.answer = TRIAL_REFUSED;
		reply.type = p.rest[0];
		reply.code = p.rest[1];
		reply.from = p.src;
		return reply;
	}
	if (p.proto != ends->proto || !addr_equal(&p.src, &ends->remote) ||
	    !addr_equal(&p.dst, &ends->local))
		return reply;
	if (ends->proto == IPPROTO_TCP)
		reply.answer = read_tcp(ends, &p);
	else if (ends->proto == IPPROTO_UDP)
		reply.answer =
			p.length >= 8 && get16(p.rest) == ends->remote_port &&
					get16(p.rest + 2) == ends->local_port
				? TRIAL_OPEN
				: TRIAL_NOTHING;
	else
		reply.answer =
			p.length >= 8 &&
					p.rest[0] == (icmp == IPPROTO_ICMP
							      ? 0
							      : 129) &&
					get16(p.rest + 4) == ends->local_port &&
					get16(p.rest + 6) == (uint16_t)ends->seq
				? TRIAL_OPEN
				: TRIAL_NOTHING;
	reply.from = p.src;
	return reply;
}
