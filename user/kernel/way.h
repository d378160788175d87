/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * way.h - the way of one packet, down to the address on the wire: as the
 * kernel's rules and routes have it, with the neighbour asked for.
 */
#ifndef MASQ_KERNEL_WAY_H
#define MASQ_KERNEL_WAY_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/cidr.h"

struct way {
	uint32_t ifindex; /* by which it leaves */
	char name[IF_NAMESIZE];
	struct addr next; /* the gateway, or the destination itself */
	struct addr source; /* the kernel's choice; family 0: it says none */
	uint8_t mac[6];
	bool has_mac; /* its packets begin with an Ethernet header */
};

/*
 * Of a packet to dst, from src where that is not NULL; iif: it came in there
 * and is forwarded, 0: the node itself sends it. 0 or -errno: -ENETUNREACH, -EHOSTUNREACH,
 * -EACCES, -EINVAL, -EXDEV as netdev_route_from has them; -EADDRNOTAVAIL: dst
 * is the node's own address; -EPROTOTYPE: it is no one host's.
 */
int way_find(const struct addr *dst, const struct addr *src, uint32_t iif,
	     struct way *out);
/*
 * Fills mac and has_mac; asks the neighbour and waits for him so long. 0 or
 * -errno: -EHOSTDOWN when he does not answer.
 */
int way_neighbour(struct way *way, unsigned int timeout_ms);

/* The address that the node's own packets have that go this way. False: none. */
bool way_source(const struct way *way, uint8_t family, struct addr *out);

#endif
