/* SPDX-License-Identifier: GPL-2.0-only */
/* snat.h - source addresses, which packets know by MASQ_SNAT(). */
#ifndef MASQ_POLICY_SNAT_H
#define MASQ_POLICY_SNAT_H

#include "policy/work.h"

/* All of them. 0 or -errno. */
int snat_read(const struct instance *instance,
	      struct masq_addr snat[MASQ_MAX_SNAT]);
/*
 * Slots for each pool of the policy. Those that the half in force uses keep
 * what they have; slot 0 stands for the node's own. 0 or -errno, printed.
 */
int snat_assign(struct work *w);
/* Fills them. 0 or -errno. */
int snat_write(const struct work *w);
/*
 * Tells the dataplane that the policy's sources are this node's; `keep`: those
 * of the policy in force as well. 0 or -errno, printed.
 */
int snat_nets(const struct work *w, bool keep);
/* The pool of these slots. 0 or -EBADMSG. */
int snat_pool(const struct masq_addr snat[MASQ_MAX_SNAT], uint16_t value,
	      uint8_t family, struct pool *out);
uint16_t snat_of(const struct work *w, const struct policy_entry *entry);

#endif
