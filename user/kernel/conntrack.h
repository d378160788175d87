/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conntrack.h - the kernel's table of connections, read over nfnetlink. Never
 * brought to life by looking at it; entries are deleted at detach alone, and
 * changed for the fast path alone.
 */
#ifndef MASQ_CONNTRACK_H
#define MASQ_CONNTRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>
#include "base/cidr.h"

/* One direction; ports in network order. ICMP echo: the identifier is both. */
struct conntrack_tuple {
	struct addr src, dst;
	__be16 sport, dport;
};

struct conntrack {
	struct conntrack_tuple orig; /* of the packet that began it */
	struct conntrack_tuple reply; /* as its answers come in */
	uint8_t proto;
	uint8_t icmp_type; /* of the first packet */
	uint8_t tcp_state; /* enum tcp_conntrack */
	uint32_t status; /* IPS_* */
	__be32 id;
	uint32_t timeout; /* seconds left */
};

/* Is the source, the destination, what netfilter made of it? */
bool conntrack_has_snat(const struct conntrack *ct);
bool conntrack_has_dnat(const struct conntrack *ct);

/* How many there are in this network namespace; 0 also when nobody knows. */
uint64_t conntrack_count(void);
/*
 * Calls `each` (0 or -errno, which ends the walk) for every entry of both
 * families in this network namespace. -ENOENT: the kernel tracks nothing.
 */
int conntrack_walk(int (*each)(void *data, const struct conntrack *ct),
		   void *data);
/*
 * Deletes these entries: their next packets begin anew, for NAT rules and
 * firewalls as well. What is gone already is no error. 0 or -errno.
 */
int conntrack_delete(const struct conntrack *list, size_t count);
/*
 * Takes TCP packets of these entries (orig and proto are read) that are out of
 * its window for what they are, both ways, until the entry ends; what
 * nf_conntrack_tcp_be_liberal does for all of them. What is gone already is no
 * error. 0 or -errno.
 */
int conntrack_be_liberal(const struct conntrack *list, size_t count);

#endif
