/* SPDX-License-Identifier: GPL-2.0-only */
/* snat.h - source addresses, which packets know by the slots of masq_snat. */
#ifndef MASQ_POLICY_SNAT_H
#define MASQ_POLICY_SNAT_H

#include "policy/work.h"

/* All of them. 0 or -errno. */
int snat_read(const struct instance *instance,
	      struct masq_addr snat[MASQ_MAX_SNAT]);
/*
 * A slot for each address of the policy. Slots that the half in force uses keep
 * their address; slot 0 stands for the node's own. 0 or -errno, printed.
 */
int snat_assign(struct work *w);
uint16_t snat_of(const struct work *w, const struct policy_entry *entry);

#endif
