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
#include "plane/instance.h"

struct flow {
	uint8_t proto;
	uint8_t role; /* enum masq_role */
	uint8_t kind; /* enum masq_kind: FWD, KEEP or INBOUND */
	uint8_t state; /* enum masq_state */
	bool replied;
	struct addr in, rem; /* our side, far side, before translation */
	uint16_t in_port, rem_port; /* host order */
	struct addr xlat; /* FWD: what the far side sees */
	uint16_t xlat_port;
	uint32_t prefix; /* slot that decided; INBOUND has none */
	uint32_t age, idle, left; /* ticks */
	struct masq_count egress, ingress;
};

/* What a flow has to match; a zeroed filter matches all. */
struct flow_filter {
	struct cidr pod; /* family 0: any */
	struct cidr dest;
	struct cidr prefix;
	int32_t port, node_port; /* 0: any */
	uint16_t proto; /* number + 1; ICMP stands for both families' */
	uint8_t state; /* enum masq_state + 1 */
	uint8_t kind; /* enum masq_kind */
	bool unreplied;
};

/* Names; each parser returns 0 or -EINVAL. */
const char *flow_action(const struct flow *flow);
const char *flow_state(const struct flow *flow);
int flow_action_parse(const char *text, uint8_t *kind);
int flow_state_parse(const char *text, uint8_t *state);
/* Its name, or its number in buf. */
const char *proto_name(uint8_t proto, char *buf, size_t len);
int proto_parse(const char *text, uint8_t *proto);

/* The original tuple: who opened the flow decides which end is the source. */
struct flow_tuple {
	const struct addr *src, *dst;
	uint16_t sport, dport; /* ICMP: the identifier, 0 */
};
struct flow_tuple flow_orig(const struct flow *flow);

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
/* Does it match? Of instance the prefixes are needed. */
bool flow_matches(const struct instance *instance,
		  const struct flow_filter *filter, const struct flow *flow);
/* Ends one flow, by the code that the packet path uses. 0 or -errno. */
int flow_end(struct instance *instance, const struct flow *flow);
/* Adds the live flows of each prefix slot to live[max_prefixes]. */
int flows_count_prefixes(struct instance *instance, uint32_t *live);

/* What has a budget of its own; instance_flows_max() says how large. */
#define FLOW_BUDGETS 6
struct flow_budget {
	uint8_t family;
	uint8_t kind; /* enum masq_kind */
	const char *name; /* flow_action() of its flows */
};
extern const struct flow_budget flow_budgets[FLOW_BUDGETS];

/* Live flows by budget; zero to begin with. */
struct flow_tally {
	uint64_t all; /* with the node's own */
	uint64_t flows[FLOW_BUDGETS];
};
void flow_tally_add(struct flow_tally *tally, const struct flow *flow);
/* Number of the budget that is fullest, and how full it is. */
int flow_tally_fullest(const struct instance *instance,
		       const struct flow_tally *tally, uint32_t *percent);
/* For people, one line; returns buf. */
#define FLOW_TALLY_LEN 200
const char *flow_tally_text(const struct instance *instance,
			    const struct flow_tally *tally, char *buf,
			    size_t len);

#endif
