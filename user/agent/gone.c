// SPDX-License-Identifier: GPL-2.0-only
/* gone.c - see gone.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "agent/gone.h"
#include "base/log.h"
#include "plane/flows.h"

static bool has_addr(const struct netdev *netdev, const struct masq_addr *addr)
{
	for (size_t i = 0; i < netdev->addr_count; i++)
		if (!memcmp(netdev->addrs[i].addr.a, addr->a, sizeof(addr->a)))
			return true;
	return false;
}

int gone_find(const struct instance *instance, const struct netdev *netdev,
	      struct gone *gone)
{
	int fd = instance->map[MAP_masq_local];
	struct masq_addr key, next, *last = NULL;

	for (; !bpf_map_get_next_key(fd, last, &next); last = &key) {
		struct masq_addr *grown;

		key = next;
		if (has_addr(netdev, &key))
			continue;
		grown = reallocarray(gone->addrs, gone->count + 1,
				     sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		gone->addrs = grown;
		gone->addrs[gone->count++] = key;
	}
	return 0;
}

static int end_flow(void *data, const struct flow *flow)
{
	struct gone *gone = data;

	for (size_t i = 0; flow->kind == MASQ_K_FWD && i < gone->count; i++) {
		if (memcmp(flow->xlat.a, gone->addrs[i].a,
			   sizeof(flow->xlat.a)))
			continue;
		gone->flows += !flow_end(gone->instance, flow);
		break;
	}
	return 0;
}

void gone_end_flows(struct instance *instance, struct gone *gone)
{
	if (!gone->count)
		return;
	gone->instance = instance;
	flows_walk_owners(instance, end_flow, gone);
	for (size_t i = 0; i < gone->count; i++) {
		struct addr addr = { .family = 4 };
		char text[CIDR_STRLEN];

		memcpy(addr.a, gone->addrs[i].a, sizeof(addr.a));
		if (addr.a[1] | addr.a[2] | addr.a[3])
			addr.family = 6;
		log_info("%s: no address of this node any more",
			 addr_format(&addr, text, sizeof(text)));
	}
	if (gone->flows)
		log_info(gone->flows == 1
				 ? "%llu flow ended with its node address"
				 : "%llu flows ended with their node address",
			 (unsigned long long)gone->flows);
}
