// SPDX-License-Identifier: GPL-2.0-only
/* preset.c - what ip-masq-agent and GKE had built in. */
#include <stddef.h>
#include <string.h>
#include "config/preset.h"

static const struct preset presets[] = {
	{ "ip-masq-agent",
	  { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" } },
	{ "reserved",
	  { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
	    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	    "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4" } },
	{ "gke-before-1.14", { "10.0.0.0/8" } },
};

#define PRESETS (sizeof(presets) / sizeof(presets[0]))

const char *config_preset_names(void)
{
	return "ip-masq-agent, reserved, gke-before-1.14";
}

const struct preset *preset_find(const char *name)
{
	if (!name)
		return &presets[0];
	for (size_t i = 0; i < PRESETS; i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i];
	return NULL;
}
