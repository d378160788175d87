// SPDX-License-Identifier: GPL-2.0-only
/* cmd_import.c - the policy that another program has in force, as a config. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/show.h"
#include "takeover/chain.h"

/* JSON, and a config all the same. */
static void print_json(const struct config *config)
{
	char range[16];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_cidrs(&j, "nonMasqueradeCIDRs", &config->keep);
	if (config->masquerade.count)
		json_cidrs(&j, "masqueradeCIDRs", &config->masquerade);
	if (config->keep_sources.count)
		json_cidrs(&j, "nonMasqueradeSrcCIDRs", &config->keep_sources);
	if (config->pods.count)
		json_cidrs(&j, "podCIDRs", &config->pods);
	json_u64(&j, "cidrLimit", config->cidr_limit);
	json_bool(&j, "masqLinkLocal", config->masq_link_local);
	json_bool(&j, "masqLinkLocalIPv6", config->masq_link_local_ipv6);
	json_bool(&j, "enableIPv6", config->ipv6);
	json_object(&j, "snat");
	snprintf(range, sizeof(range), "%u-%u", config->port_min,
		 config->port_max);
	json_string(&j, "portRange", range);
	json_bool(&j, "strictPorts", config->strict_ports);
	json_object_end(&j);
	json_object_end(&j);
	json_end(&j);
}

static int run(const struct cmd_line *line)
{
	struct masq_chains chains;
	struct config *config = NULL;
	char *text = NULL;
	int err;

	if (strcmp(line->argv[0], "iptables"))
		return cmd_usage(line, "%s: not iptables", line->argv[0]);
	if (masq_chains_find(cmd_value(line, "chain"), &chains))
		return CMD_FAILED;
	err = masq_chains_config(&chains, &text, &config);
	if (!err) {
		for (size_t i = 0; i < config->warning_count; i++)
			log_warn("%s", config->warnings[i]);
		if (line->json)
			print_json(config);
		else
			fputs(text, stdout);
	}
	free(text);
	config_free(config);
	masq_chains_free(&chains);
	return err ? CMD_FAILED : CMD_OK;
}

static const struct cmd_option options[] = {
	{ "chain", "NAME",
	  "its chain (default: IP-MASQ-AGENT or IP-MASQ, whichever is used)" },
	{},
};

const struct cmd cmd_import = {
	.name = "import",
	.args = "iptables",
	.help = "ip-masq-agent's iptables chain as a config on stdout",
	.min = 1,
	.max = 1,
	.options = options,
	.run = run,
};
