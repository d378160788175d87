/* SPDX-License-Identifier: GPL-2.0-only */
/* values.h - key->read for each kind of value, and what it fills. */
#ifndef MASQ_CONFIG_VALUES_H
#define MASQ_CONFIG_VALUES_H

#include "config/mapping.h"

#define READER(name)                                      \
	int name(struct loader *l, const struct key *key, \
		 const struct pair *pair, void *field)
READER(read_bool); /* bool */
READER(read_enable_ipv6);
READER(read_number); /* uint32_t, min to max */
READER(read_duration); /* uint64_t, ns, max */
READER(read_ports); /* uint16_t [2], warns below min */
READER(read_node_ports);
READER(read_guard_action); /* uint32_t, enum config_guard */
READER(read_cidrs); /* struct config_cidrs, key->list */
READER(read_snat_addresses);

#endif
