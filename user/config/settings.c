// SPDX-License-Identifier: GPL-2.0-only
/* settings.c - the defaults. */
#include <stdlib.h>
#include "config/settings.h"

#define SECOND 1000000000ULL

const char *const config_guards[] = {
	[GUARD_ALARM] = "alarm",
	[GUARD_ROLLBACK] = "rollback",
	[GUARD_OFF] = "off",
	NULL,
};

struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	*config = (struct config){
		.cidr_limit = 64,
		.resync_interval_ns = 60 * SECOND,
		.port_min = 10240,
		.port_max = 65535,
		.node_port_min = 30000,
		.node_port_max = 32767,
		.timeout_ns = {
			[MASQ_T_TCP_ESTABLISHED] = 7440 * SECOND,
			[MASQ_T_TCP_TRANSITORY] = 240 * SECOND,
			[MASQ_T_UDP] = 300 * SECOND,
			[MASQ_T_UDP_UNREPLIED] = 120 * SECOND,
			[MASQ_T_ICMP] = 60 * SECOND,
			[MASQ_T_OTHER] = 600 * SECOND,
		},
		.max_flows = MASQ_DEFAULT_MAX_FLOWS,
		.flow_counters = true,
		.guard_window_ns = 120 * SECOND,
	};
	return config;
}

void config_default_quota(struct config *config)
{
	if (!config->max_flows_per_pod)
		config->max_flows_per_pod = config->max_flows / 4 ?: 1;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->warning_count; i++)
		free(config->warnings[i]);
	free(config->warnings);
	free(config->keep.items);
	free(config->masquerade.items);
	free(config->pods.items);
	free(config->keep_sources.items);
	free(config->snat);
	free(config->path);
	free(config);
}
