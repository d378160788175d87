/* SPDX-License-Identifier: GPL-2.0-only */
/* netlink.h - asks the kernel for all of something, on any netlink bus. */
#ifndef MASQ_NETLINK_H
#define MASQ_NETLINK_H

#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

/*
 * Calls `each` (MNL_CB_*; it sets errno for MNL_CB_ERROR) for every message of
 * the answer. 0 or -errno. Not for rtnetlink, whose dumps may have to be begun
 * anew: netlink_dump in netdev.h.
 */
int netlink_all(int bus, uint16_t type, const void *head, size_t length,
		mnl_cb_t each, void *data);

#endif
