/* SPDX-License-Identifier: GPL-2.0-only */
/* slots.h - a slot of masq_prefixes for each prefix; flows count there. */
#ifndef MASQ_POLICY_SLOTS_H
#define MASQ_POLICY_SLOTS_H

#include "policy/work.h"

/* The used ones by prefix and list, before all else here. 0, -ENOMEM (said). */
int slots_index(struct work *w);
/* That of this prefix and action, or NO_SLOT. */
uint32_t slot_find(const struct work *w, const struct cidr *cidr, uint8_t list,
		   uint8_t action);
/* Does the half in force have this slot? */
bool slot_in_force(const struct work *w, uint32_t slot);
/*
 * A slot for each entry: the one it has or had, else one that was never
 * used, else one that neither policy nor live flow needs any more. 0 or
 * -errno, printed.
 */
int slots_assign(struct work *w);

#endif
