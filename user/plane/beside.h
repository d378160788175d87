/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * beside.h - the watch of an interface that is not attached (bpf/other.h), at
 * its ingress: a TCX link in front of all others, or, where there is no TCX or
 * the uplinks are hooked by filters, a filter of clsact. What is there is noted
 * by a pin either way.
 */
#ifndef MASQ_PLANE_BESIDE_H
#define MASQ_PLANE_BESIDE_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/maps.h"

/*
 * The watch is there afterwards. 0 or -errno, printed; -EOPNOTSUPP (every
 * priority of ours is somebody else's) and -ENODEV are not. The instance as
 * void *, for other_sync.
 */
int beside_attach(void *instance, const struct netdev_link *link);
/* Takes it off again, where there is one. Likewise. */
int beside_detach(void *instance, const struct netdev_link *link);
/* Notes that an interface has our filter. 0 or -errno. */
int beside_note(const struct instance *instance, uint32_t ifindex);
/* By the note: who has no rights sees it, too. */
bool beside_is_there(const struct instance *instance, uint32_t ifindex);
/* Everywhere. 0 or -errno, printed. */
int beside_detach_all(struct instance *instance, const struct netdev *netdev);

/* Is the note of a filter there? (What a renewal has to look at.) */
bool beside_is_filter(const struct instance *instance, uint32_t ifindex);

#endif
