/* SPDX-License-Identifier: GPL-2.0-only */
/* swap.h - other programs in the place of those that are hooked. */
#ifndef MASQ_PLANE_SWAP_H
#define MASQ_PLANE_SWAP_H

#include "plane/maps.h"

/*
 * Puts the programs of *next in wherever those that are pinned in the pin
 * directory of *instance, or in that of *next, are hooked: each hook in one
 * step, in its place of the chain; ingress everywhere, then egress, then the
 * pods' interfaces. May be done again. 0 or -errno, printed.
 */
int swap_hooks(const struct instance *instance, const struct instance *next);

#endif
