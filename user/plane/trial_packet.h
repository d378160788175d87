/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trial_packet.h - the packets of an attempt, from the IP header on, and what
 * its answers say. Bytes alone: nothing is sent or received here.
 */
#ifndef MASQ_PLANE_TRIAL_PACKET_H
#define MASQ_PLANE_TRIAL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"

/* The ends of an attempt; ports in host order. An echo's identifier is
 * local_port, and remote_port 0. */
struct trial_ends {
	uint8_t proto; /* of the family: IPPROTO_ICMP or IPPROTO_ICMPV6 */
	struct addr local, remote;
	uint16_t local_port, remote_port;
	uint32_t seq; /* TCP: of the SYN; an echo: 16 bits of it */
};

#define TRIAL_PAYLOAD_MAX 1024
#define TRIAL_PACKET_MAX  (40 + 20 + TRIAL_PAYLOAD_MAX)

/* A SYN, a datagram or an echo request into buf (TRIAL_PACKET_MAX); its length. */
size_t trial_opener(const struct trial_ends *ends, const void *payload,
		    size_t length, uint8_t *buf);
/* What ends it: the reset of a TCP attempt. */
size_t trial_reset(const struct trial_ends *ends, uint8_t *buf);

enum trial_answer {
	TRIAL_NOTHING, /* silence; or the packet says nothing about it */
	TRIAL_OPEN, /* SYN-ACK, a datagram, an echo: somebody serves there */
	TRIAL_RESET,
	TRIAL_REFUSED, /* an ICMP error, from whoever sent it */
	TRIAL_BUSY, /* the far side has a connection with these ends already */
	TRIAL_NO_WAY, /* never sent: no route, no neighbour; see err */
	TRIAL_NOT_TRIED, /* could not be found out; see err */
};

struct trial_reply {
	enum trial_answer answer;
	struct addr from; /* who says so */
	uint8_t type, code; /* of an ICMP error */
};

/* Reads a packet that has come in; answer TRIAL_NOTHING: none of this attempt. */
struct trial_reply trial_read(const struct trial_ends *ends,
			      const uint8_t *packet, size_t length);

#endif
