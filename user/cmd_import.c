// SPDX-License-Identifier: GPL-2.0-only
/* cmd_import.c - the policy that another program has in force, as a config. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "masqchain.h"
#include "out.h"

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
