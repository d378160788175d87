/* SPDX-License-Identifier: GPL-2.0-only */
/* gone.h - addresses that the node has not got any more, and flows with them. */
#ifndef MASQ_AGENT_GONE_H
#define MASQ_AGENT_GONE_H

#include <stddef.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/instance.h"

/* {} at first; the caller frees `addrs`. */
struct gone {
	struct masq_addr *addrs;
	size_t count;
	struct instance *instance; /* while its flows are ended */
	uint64_t flows; /* that were ended */
};

/* What the maps still call the node's own and the kernel does not. 0, -ENOMEM. */
int gone_find(const struct instance *instance, const struct netdev *netdev,
	      struct gone *gone);
/* Nothing can answer to them any more, and they hold ports. Says so. */
void gone_end_flows(struct instance *instance, struct gone *gone);

#endif
