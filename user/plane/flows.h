/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flows.h - walking the flow tables: a FWD record and its REV become one flow,
 * expired ones are skipped as everybody skips them.
 */
#ifndef MASQ_FLOWS_H
#define MASQ_FLOWS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/cidr.h"
#include "masqbpf.h"
#include "plane/flow.h"
#include "plane/instance.h"

/* What a flow has to match; a zeroed filter matches all. */
struct flow_filter {
	struct cidr pod; /* family 0: any */
	struct cidr pod_too; /* or this: its address of the other family */
	struct cidr dest;
	struct cidr prefix;
	int32_t port, node_port; /* 0: any */
	uint16_t proto; /* number + 1; ICMP stands for both families' */
	uint8_t state; /* enum masq_state + 1 */
	uint8_t kind; /* enum masq_kind */
	bool unreplied, replied;
};

/*
 * Calls fn for each live flow that matches, in no order, while the
 * tables change. fn may end the flow. Stops when fn returns non-zero and returns
 * that; 0 or -errno otherwise.
 */
typedef int (*flow_fn)(void *data, const struct flow *flow);
int flows_walk(struct instance *instance, const struct flow_filter *filter,
	       flow_fn fn, void *data);
/*
 * The same of all live flows by their owners' records alone: `age` says
 * nothing, and of a masqueraded flow `ingress` and `idle` neither.
 */
int flows_walk_owners(struct instance *instance, flow_fn fn, void *data);
/*
 * The same of `pages` pages of the tables from *page on, which is then where to
 * go on: 0 after the last one.
 */
int flows_walk_part(struct instance *instance, uint32_t *page, uint32_t pages,
		    flow_fn fn, void *data);
/* Does it match? Of instance the prefixes are needed. */
bool flow_matches(const struct instance *instance,
		  const struct flow_filter *filter, const struct flow *flow);
/* Ends one flow, by the code that the packet path uses. 0 or -errno. */
int flow_end(struct instance *instance, const struct flow *flow);
/* Adds the live flows of each prefix slot to live[max_prefixes]. */
int flows_count_prefixes(struct instance *instance, uint32_t *live);

#endif
