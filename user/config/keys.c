// SPDX-License-Identifier: GPL-2.0-only
/*
 * keys.c - every key of the config file: its name, its kind of value, its
 * bounds. deploy/masqbpf.yaml says what the keys mean.
 */
#include "config/keys.h"
#include "config/values.h"

/* ticks are compared by signed difference (masqbpf.h): far below its wrap */
#define TIMEOUT_MAX_NS (30 * 86400 * 1000000000ULL)
/* unanswered flows are remembered for minutes, and are all the evidence */
#define GUARD_MAX_NS (3600 * 1000000000ULL)
#define MAX_FLOWS    (1 << 24)

static int read_group(struct loader *l, const struct key *key,
		      const struct pair *pair, void *field)
{
	(void)field;
	return config_read_mapping(l, key->keys, key->name, pair->value,
				   l->config);
}

#define KEY(text, reader, member, ...)                                   \
	{                                                                \
		.name = text, .read = reader,                            \
		.offset = offsetof(struct config, member), ##__VA_ARGS__ \
	}
#define CIDRS(text, member, id) \
	KEY(text, read_cidrs, member, .list = id, .takes_null = true)
#define DURATION(text, member, limit) \
	KEY(text, read_duration, member, .max = limit, .takes_null = true)
#define TIMEOUT(text, id) DURATION(text, timeout_ns[id], TIMEOUT_MAX_NS)
#define GROUP(text, table)                                      \
	{                                                       \
		.name = text, .read = read_group, .keys = table \
	}

static const struct key snat_keys[] = {
	KEY("snat.portRange", read_ports, port_min, .min = 1024),
	KEY("snat.strictPorts", read_bool, strict_ports),
	KEY("snat.nodePortRange", read_node_ports, node_port_min),
	KEY("snat.addresses", read_snat_addresses, snat),
	KEY("snat.rejectTCP", read_bool, reject_tcp),
	{},
};

static const struct key guard_keys[] = {
	KEY("guard.action", read_guard_action, guard_action),
	DURATION("guard.window", guard_window_ns, GUARD_MAX_NS),
	{},
};

static const struct key timeout_keys[] = {
	TIMEOUT("timeouts.tcpEstablished", MASQ_T_TCP_ESTABLISHED),
	TIMEOUT("timeouts.tcpTransitory", MASQ_T_TCP_TRANSITORY),
	TIMEOUT("timeouts.udp", MASQ_T_UDP),
	TIMEOUT("timeouts.udpUnreplied", MASQ_T_UDP_UNREPLIED),
	TIMEOUT("timeouts.icmp", MASQ_T_ICMP),
	TIMEOUT("timeouts.other", MASQ_T_OTHER),
	{},
};

static const struct key top_keys[] = {
	CIDRS("nonMasqueradeCIDRs", keep, LIST_KEEP),
	CIDRS("masqueradeCIDRs", masquerade, LIST_MASQUERADE),
	CIDRS("podCIDRs", pods, LIST_PODS),
	CIDRS("nonMasqueradeSrcCIDRs", keep_sources, LIST_KEEP_SOURCES),
	KEY("cidrLimit", read_number, cidr_limit, .max = UINT32_MAX),
	KEY("masqLinkLocal", read_bool, masq_link_local),
	KEY("masqLinkLocalIPv6", read_bool, masq_link_local_ipv6),
	DURATION("resyncInterval", resync_interval_ns, INT64_MAX),
	KEY("enableIPv6", read_enable_ipv6, ipv6),
	KEY("dropForeignSources", read_bool, drop_foreign_sources),
	GROUP("snat", snat_keys),
	GROUP("timeouts", timeout_keys),
	GROUP("guard", guard_keys),
	KEY("maxFlows", read_number, max_flows, .min = 1, .max = MAX_FLOWS),
	KEY("maxFlowsPerPod", read_number, max_flows_per_pod, .min = 1,
	    .max = MAX_FLOWS),
	KEY("flowCounters", read_bool, flow_counters),
	{},
};

_Static_assert(sizeof(top_keys) / sizeof(top_keys[0]) <= MAX_KEYS + 1,
	       "MAX_KEYS");

/* --- mappings ---------------------------------------------------------- */

int config_read_keys(struct loader *l, const struct node *root)
{
	static const struct key *const groups[] = { top_keys, snat_keys,
						    timeout_keys, guard_keys,
						    NULL };

	l->groups = groups;
	return config_read_mapping(l, top_keys, "the config", root, l->config);
}
