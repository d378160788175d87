// SPDX-License-Identifier: GPL-2.0-only
/* flow.c - names, and which end is the source. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include "plane/flow.h"

struct name {
	uint8_t number;
	const char *name;
};

static const struct name protocols[] = {
	{ IPPROTO_TCP, "tcp" },
	{ IPPROTO_UDP, "udp" },
	{ IPPROTO_ICMP, "icmp" },
	{ IPPROTO_ICMPV6, "icmpv6" },
	{ IPPROTO_SCTP, "sctp" },
	{ IPPROTO_UDPLITE, "udplite" },
	{ IPPROTO_DCCP, "dccp" },
	{ IPPROTO_GRE, "gre" },
	{ IPPROTO_ESP, "esp" },
	{ IPPROTO_AH, "ah" },
	{},
};

static const struct name states[] = {
	{ MASQ_ST_NEW, "new" },
	{ MASQ_ST_ESTABLISHED, "established" },
	{ MASQ_ST_CLOSING, "closing" },
	{ MASQ_ST_CLOSED, "closed" },
	{},
};

static const struct name actions[] = {
	{ MASQ_K_FWD, "masquerade" },
	{ MASQ_K_KEEP, "keep" },
	{ MASQ_K_INBOUND, "inbound" },
	{},
};

static const char *name_of(const struct name *names, uint8_t number)
{
	while (names->name && names->number != number)
		names++;
	return names->name;
}

static int parse_name(const struct name *names, const char *text, uint8_t *out)
{
	for (; names->name; names++) {
		if (!strcmp(names->name, text)) {
			*out = names->number;
			return 0;
		}
	}
	return -EINVAL;
}

const char *flow_action(const struct flow *flow)
{
	return name_of(actions, flow->kind) ?: "unknown";
}

const char *flow_state(const struct flow *flow)
{
	return name_of(states, flow->state) ?: "unknown";
}

int flow_action_parse(const char *text, uint8_t *kind)
{
	return parse_name(actions, text, kind);
}

int flow_state_parse(const char *text, uint8_t *state)
{
	return parse_name(states, text, state);
}

const char *proto_name(uint8_t proto, char *buf, size_t len)
{
	const char *name = name_of(protocols, proto);

	if (!name)
		snprintf(buf, len, "%u", proto);
	return name ?: buf;
}

int proto_parse(const char *text, uint8_t *proto)
{
	uint64_t number;

	if (!parse_name(protocols, text, proto))
		return 0;
	if (number_parse(text, 0, 255, &number, NULL, 0))
		return -EINVAL;
	*proto = number;
	return 0;
}

struct flow_tuple flow_orig(const struct flow *flow)
{
	if (flow->kind != MASQ_K_INBOUND)
		return (struct flow_tuple){ &flow->in, &flow->rem,
					    flow->in_port, flow->rem_port };
	if (proto_is_icmp(flow->proto))
		return (struct flow_tuple){ &flow->rem, &flow->in,
					    flow->in_port, 0 };
	return (struct flow_tuple){ &flow->rem, &flow->in, flow->rem_port,
				    flow->in_port };
}
