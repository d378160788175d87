/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * packet.h - builds exact packets for the program tests: what goes in, and
 * what must come out, checksums included. It shares no code with bpf/.
 */
#ifndef TEST_PACKET_H
#define TEST_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 2048

/* TCP flags */
enum {
	FIN = 1,
	SYN = 2,
	RST = 4,
	PSH = 8,
	ACK = 16,
	URG = 32
};

/*
 * One packet, described. Zero means the usual. Addresses as text decide the
 * family. For ICMP echo sport is the identifier and dport the sequence.
 */
struct packet {
	const char *src, *dst;
	uint16_t sport, dport;
	uint8_t proto; /* IPPROTO_* */
	uint8_t flags; /* TCP; ICMP: type */
	uint8_t code; /* ICMP */
	uint32_t seq, ack;
	const void *payload;
	uint16_t length; /* of the payload; NULL payload: a pattern */
	uint16_t ip_options; /* bytes, multiple of 4 (IPv4); 8 (IPv6: one
				destination options header) */
	uint16_t frag_off; /* 8-byte units */
	bool more_fragments;
	uint16_t id;
	uint8_t ttl;
	uint8_t tos; /* with ECN */
	uint16_t vlan; /* 802.1Q tag in the payload */
	uint8_t mpls; /* so many labels */
	bool no_ethernet;
	bool udp_no_checksum;
	bool bad_checksum; /* L4 */
	uint8_t ihl; /* override */
	uint16_t tot_len; /* override; 0xffff: none */
	uint8_t doff; /* override */
	uint16_t udp_len; /* override */
	bool partial; /* L4 checksum as CHECKSUM_PARTIAL leaves it */
	const struct packet *quoted; /* ICMP error: the packet inside */
	uint16_t quoted_length; /* 0: all of it (IP header and beyond) */
	uint32_t rest; /* ICMP error: bytes 4-7, host order (MTU) */
};

/* Returns the frame's length. */
size_t packet_build(const struct packet *p, uint8_t *frame);
/* RFC 1071 sum over data, for tests that check sums themselves. */
uint16_t packet_checksum(const void *data, size_t length, uint32_t start);
/* "src:sport > dst:dport proto flags" into a static buffer. */
const char *packet_text(const uint8_t *frame, size_t length);

#endif
