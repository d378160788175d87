/* SPDX-License-Identifier: GPL-2.0-only */
/* prefix.h - slots of masq_prefixes, and what people call their fields. */
#ifndef MASQ_PREFIX_H
#define MASQ_PREFIX_H

#include <string.h>
#include "base/cidr.h"
#include "masqbpf.h"

static inline struct cidr prefix_cidr(const struct masq_prefix *prefix)
{
	struct cidr cidr = { .addr.family = prefix->family,
			     .plen = prefix->plen };

	memcpy(cidr.addr.a, prefix->addr, sizeof(cidr.addr.a));
	return cidr;
}

static inline const char *action_name(uint8_t action)
{
	return action == MASQ_KEEP ? "keep" : "masquerade";
}

#endif
