/* SPDX-License-Identifier: GPL-2.0-only */
/* flow.h - one flow, and what people call its parts. */
#ifndef MASQ_PLANE_FLOW_H
#define MASQ_PLANE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include "base/cidr.h"
#include "masqbpf.h"

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
	/* of flows_walk alone */
	uint32_t generation; /* whose policy decided */
	uint32_t answer_idle; /* ticks since the far side's last packet, where
				 that is known (FWD); else UINT32_MAX */
	uint32_t device; /* ifindex that the pod's packets come in by; or 0 */
	bool asks; /* for conntrack to be liberal with it: MASQ_FAST_ASKED */
	struct masq_count egress, ingress;
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

static inline bool proto_is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

#endif
