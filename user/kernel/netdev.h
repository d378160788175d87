/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netdev.h - the node's links, addresses and routes as the kernel tells them
 * over netlink. Reads only.
 */
#ifndef MASQ_KERNEL_NETDEV_H
#define MASQ_KERNEL_NETDEV_H

#include "kernel/links.h"

/* 0 or -errno; the error has been printed. */
int netdev_read(struct netdev **out);
/* The links alone: a node may have a million routes. */
int netdev_read_links(struct netdev **out);
void netdev_free(struct netdev *netdev);

/*
 * The link that packets to this address leave by, as the kernel's rules and
 * routes have it now. 0 or -errno (-ENETUNREACH ...).
 */
int netdev_route_to(const struct addr *dst, uint32_t *ifindex);

/*
 * The same for a packet from src that came in by the link `iif`, as the node
 * forwards it, of this kind (NULL: any): -ENETUNREACH without a route,
 * -EHOSTUNREACH, -EACCES or -EINVAL where the route or a rule says unreachable,
 * prohibit or blackhole, -EXDEV where the source may not come in there
 * (rp_filter).
 */
int netdev_route_from(const struct addr *dst, const struct addr *src,
		      uint32_t iif, const struct netdev_kind *kind,
		      uint32_t *ifindex);

/* The same, and what kind of way it is. */
struct netdev_found {
	uint32_t ifindex;
	uint8_t type; /* RTN_* */
	bool wraps; /* as of struct netdev_route */
};
int netdev_find_way(const struct addr *dst, const struct addr *src,
		    uint32_t iif, const struct netdev_kind *kind,
		    struct netdev_found *out);

/*
 * All interfaces that packets of that kind may leave by, each once, the dead ones
 * left out: a route with several ways has one for each flow. At most max of them
 * go to ifindexes, *count says how many. 0 or -errno, as above.
 */
int netdev_ways_from(const struct addr *dst, const struct addr *src,
		     uint32_t iif, const struct netdev_kind *kind,
		     uint32_t *ifindexes, size_t max, size_t *count);

struct nlmsghdr;
/*
 * What both ask: `each` gets the kernel's answer, an RTM_NEWROUTE, and returns 0
 * or -errno. src NULL and iif 0: as the node itself; kind NULL: any. 0 or -errno, as above.
 */
int netdev_ask_route(const struct addr *dst, const struct addr *src,
		     uint32_t iif, const struct netdev_kind *kind,
		     int (*each)(const struct nlmsghdr *message, void *data),
		     void *data);

#endif
