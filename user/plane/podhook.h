/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * podhook.h - the fast path's two programs on a pod's interface, behind all
 * others there: TCX links, or, where there is no TCX or the uplinks are hooked by
 * filters, filters of clsact. What is there is noted by a pin either way.
 */
#ifndef MASQ_PLANE_PODHOOK_H
#define MASQ_PLANE_PODHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/chain.h"

/* Are filters what to hook by? A TCX link of an uplink says no. */
bool podhook_by_filter(const struct instance *instance);
/* In one direction: is the one there that has to be, noted, and no other? */
bool podhook_is_whole(const struct instance *instance, uint32_t ifindex,
		      const struct hook_chain *chain, enum hook_dir dir,
		      bool filter);
/*
 * Why a filter of ours cannot be there, into why; nothing: it can. 0 or -errno,
 * printed.
 */
int podhook_lacks(const struct netdev_link *link, char *why, size_t len);
/*
 * Both are there afterwards, and none of the other kind. 0 or -errno, printed
 * but for -ENODEV: pods come and go.
 */
int podhook_attach(const struct instance *instance,
		   const struct netdev_link *link);
/* Takes them off one that is a pod's no more. 0 or -errno, printed. */
int podhook_detach(const struct instance *instance,
		   const struct netdev_link *link);
/* Notes that an interface has filters of ours. 0 or -errno. */
int podhook_note(const struct instance *instance, uint32_t ifindex);
/* Takes them off again everywhere. 0 or -errno, printed. */
int podhook_detach_all(const struct instance *instance);
/* May there be filters of ours? By the note. */
bool podhook_is_filter(const struct instance *instance, uint32_t ifindex);

#endif
