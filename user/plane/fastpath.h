/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fastpath.h - the fast path's hooks on the pods' interfaces, and what it has
 * to know of the uplinks. bpf/fast.h has the path itself.
 */
#ifndef MASQ_FASTPATH_H
#define MASQ_FASTPATH_H

#include <stdbool.h>
#include <stddef.h>
#include "kernel/netdev.h"
#include "plane/instance.h"

/* Was this instance made with --fast-path? */
static inline bool fastpath_is_on(const struct instance *instance)
{
	return instance->meta.features & MASQ_FEAT_FAST;
}

/* Does the kernel have what --fast-path needs? 0 or -errno, printed. */
int fastpath_possible(void);

/*
 * Brings masq_uplinks and the hooks on the pods' interfaces (every veth that
 * is no uplink) to what the kernel has now; *pods: how many have one. Does
 * nothing without --fast-path. 0 or -errno, printed. A pod is hooked by
 * `attach` (0 or -errno, printed), since not everybody may; an interface that
 * went away meanwhile is none.
 */
int fastpath_sync(struct instance *instance, const struct netdev *netdev,
		  int (*attach)(void *data, const struct netdev_link *link),
		  void *data, size_t *pods);

/*
 * May TCP take the fast path? Conntrack sees only one packet a second of it,
 * and calls the rest out of window unless it is told to be liberal.
 */
bool fastpath_tcp_allowed(void);
/* Tells it so; 0 or -errno, printed. Without conntrack there is nothing. */
int fastpath_allow_tcp(void);

#endif
