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
void netdev_free(struct netdev *netdev);

/*
 * The link that packets to this address leave by, as the kernel's rules and
 * routes have it now. 0 or -errno (-ENETUNREACH ...).
 */
int netdev_route_to(const struct addr *dst, uint32_t *ifindex);

#endif
