/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tcx.h - TCX: a pinned link per direction, pin tcx_DIRECTION_IFINDEX. When its
 * device goes, the pin stays and the link says ifindex 0.
 */
#ifndef MASQ_PLANE_TCX_H
#define MASQ_PLANE_TCX_H

#include <stdbool.h>
#include <stdint.h>
#include "plane/chain.h"

#define TCX_PIN_MAX 64
/* fast path, on the pods' interfaces */
#define TCX_POD_PREFIX "tcx_pod_"
/* watches on interfaces that are not attached */
#define TCX_OTHER_PREFIX "tcx_other_"

/* Does the kernel have TCX (6.6)? Asked of any interface that is there. */
bool tcx_exists(uint32_t ifindex);
/* Into TCX_PIN_MAX bytes. */
void tcx_pin_name(uint32_t ifindex, enum hook_dir dir, char *buf);
/* Adds what is there to the chain. 0 or -errno; no TCX: nothing is. */
int tcx_chain(const struct instance *instance, uint32_t ifindex,
	      enum hook_dir dir, struct hook_chain *chain);

/*
 * The ifindex of the pinned link (0: its device is gone), or -errno; -ENOENT:
 * there is no such pin, -EPROTOTYPE: it is something else.
 */
int64_t tcx_pinned(const struct instance *instance, const char *name);
/* Is there a pinned link of this name, on this device? 0 or -errno. */
int tcx_has(const struct instance *instance, const char *name, uint32_t ifindex,
	    bool *has);
int tcx_unpin(const struct instance *instance, const char *name);
/*
 * Attaches `prog` as the first or the last and pins it; a pin of a device that
 * is gone gives way. 0 or -errno.
 */
int tcx_pin(const struct instance *instance, uint32_t ifindex,
	    enum hook_dir dir, int prog, bool first, const char *name);
/*
 * For as long as the descriptor that it returns is open: `prog` as the first.
 * Or -errno.
 */
int tcx_first(uint32_t ifindex, enum hook_dir dir, int prog);
/* The program for this link: ingress first, egress last. 0 or -errno. */
int tcx_attach(const struct instance *instance, const struct netdev_link *link,
	       enum hook_dir dir);
/* At once: a link that loses its pin is let go of by the kernel later. */
int tcx_let_go(const struct instance *instance, uint32_t ifindex,
	       enum hook_dir dir);
/* Is one of ours where it has to be: egress last, ingress first? */
int tcx_in_place(const struct instance *instance, uint32_t ifindex,
		 enum hook_dir dir, bool *in_place);

#endif
