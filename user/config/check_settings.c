// SPDX-License-Identifier: GPL-2.0-only
/* check_settings.c - settings that contradict each other; the lists do not matter
 * here but for being empty. */
#include "config/check.h"

static bool given(const struct loader *l, size_t offset)
{
	for (size_t i = 0; i < l->given_count; i++)
		if (l->given[i].offset == offset)
			return true;
	return false;
}

/* Both of them typed, that is: one alone is for a reason. */
static int check_timeouts(struct loader *l)
{
	static const struct {
		uint8_t less, more;
		const char *names[2], *what;
	} pairs[] = {
		{ MASQ_T_UDP,
		  MASQ_T_UDP_UNREPLIED,
		  { "udp", "udpUnreplied" },
		  "an answered flow ends before one that is not" },
		{ MASQ_T_TCP_ESTABLISHED,
		  MASQ_T_TCP_TRANSITORY,
		  { "tcpEstablished", "tcpTransitory" },
		  "an established connection ends before a closed one" },
	};
	const uint64_t *ns = l->config->timeout_ns;
	int ret = 0;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs) && !ret; i++)
		if (ns[pairs[i].less] < ns[pairs[i].more] &&
		    given(l,
			  offsetof(struct config, timeout_ns[pairs[i].less])) &&
		    given(l,
			  offsetof(struct config, timeout_ns[pairs[i].more])))
			ret = config_warn(
				l,
				CONFIG_PLACE(l, timeout_ns[pairs[i].less],
					     timeout_ns[pairs[i].more]),
				"timeouts.%s is shorter than timeouts.%s: %s",
				pairs[i].names[0], pairs[i].names[1],
				pairs[i].what);
	return ret;
}

int config_check_settings(struct loader *l)
{
	const struct config *config = l->config;
	int ret = 0;

	if (config->node_port_min &&
	    config->node_port_min <= config->port_min &&
	    config->node_port_max >= config->port_max)
		return config_fail(l, CONFIG_PLACE(l, port_min, node_port_min),
				   "snat.portRange: %u-%u lies within"
				   " snat.nodePortRange %u-%u: no port is left",
				   config->port_min, config->port_max,
				   config->node_port_min,
				   config->node_port_max);
	if (config->max_flows_per_pod > config->max_flows)
		ret = config_warn(l,
				  CONFIG_PLACE(l, max_flows, max_flows_per_pod),
				  "maxFlowsPerPod %u is above maxFlows %u",
				  config->max_flows_per_pod, config->max_flows);
	if (!ret && config->drop_foreign_sources && !config->pods.count)
		ret = config_warn(l,
				  CONFIG_PLACE(l, drop_foreign_sources, pods),
				  "dropForeignSources has no effect without"
				  " podCIDRs");
	return ret ?: check_timeouts(l);
}
