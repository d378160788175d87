/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * node.h - what the dataplane has to know of the node: its addresses
 * (masq_local, masq_nets), and of each uplink the address to translate to (masq_ifaces,
 * whose keys are the interfaces that are meant to be attached).
 */
#ifndef MASQ_NODE_H
#define MASQ_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/maps.h"

/*
 * Brings both maps to what the kernel says now; links that are gone leave
 * masq_ifaces. 0 or -errno, printed.
 */
int node_sync(struct instance *instance, const struct netdev *netdev);

/*
 * Of which prefixes snat.addresses makes this node the master (MASQ_NET_SNAT);
 * `keep`: besides those that it has been of. 0, -ENOSPC: not all fit; or -errno.
 */
int node_snat_nets(struct instance *instance, const struct cidr *nets,
		   size_t count, bool keep);

/* An uplink more or less. 0 or -errno, printed. */
/* Whose hooks see what leaves by this link: its own, or those of the card that a
 * VLAN, macvlan or ipvlan is on. NULL: nobody's. */
const struct netdev_link *node_hooked(const struct instance *instance,
				      const struct netdev *netdev,
				      const struct netdev_link *link);
/* Do hooks of such a card translate to this link's own address? By a VLAN's tag
 * they do, where the kernel tells a route's source; else to the card's. */
bool node_tells_apart(const struct instance *instance,
		      const struct netdev_link *link);
int node_add_uplink(struct instance *instance, const struct netdev *netdev,
		    const struct netdev_link *link);
int node_del_uplink(struct instance *instance, uint32_t ifindex);

/* ifindexes of all uplinks, ascending; the caller frees *out. */
int node_uplinks(const struct instance *instance, uint32_t **out,
		 size_t *count);
/* What the map says of one: 1; 0: it is no uplink; -errno, printed. */
int node_uplink(const struct instance *instance, uint32_t ifindex,
		struct masq_iface *out);
/* What it should say. */
void node_uplink_now(const struct netdev *netdev, uint32_t ifindex,
		     struct masq_iface *out);

#endif
