// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_reload.c - `masqbpf reload`: the running policy becomes what the file
 * (or the preset that was taken without one) says.
 */
#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "cli/cmd.h"
#include "config/config.h"
#include "plane/fastpath.h"
#include "policy/apply.h"
#include "policy/policy.h"
#include "policy/read.h"

/* Where the policy came from, unless the command line names a file. */
static int load(const struct cmd_line *line, struct instance *instance,
		struct config **config)
{
	const char *file = cmd_value(line, "config");
	struct policy *policy = NULL;
	char err[512];
	int result = CMD_OK, failed;

	if (!file) {
		failed = policy_read(instance, &policy);
		if (failed == -ENODATA)
			log_error(
				"reload: no policy has been applied yet: give --config FILE");
		if (failed)
			return CMD_FAILED;
		file = policy->source.config_path;
		if (!strcmp(file, "-")) {
			log_error(
				"reload: the policy came from standard input: give --config FILE");
			result = CMD_USAGE;
			goto out;
		}
	}
	failed = *file ? config_load(file, NULL, config, err, sizeof(err))
		       : config_preset(policy->source.preset, config, err,
				       sizeof(err));
	if (failed) {
		log_error("%s", err);
		result = CMD_USAGE;
		goto out;
	}
	for (size_t i = 0; i < (*config)->warning_count; i++)
		log_warn("%s", (*config)->warnings[i]);
	if (config_may_replace(*config, err, sizeof(err))) {
		log_error("%s", err);
		result = CMD_USAGE;
	}
out:
	policy_free(policy);
	return result;
}

static int run(const struct cmd_line *line)
{
	struct instance *instance = NULL;
	struct config *config = NULL;
	struct policy *policy = NULL;
	struct policy_change change;
	int result = cmd_open(line, INSTANCE_WRITE, &instance);

	if (!result)
		result = load(line, instance, &config);
	if (result)
		goto out;
	if (policy_fit(instance, config) ||
	    policy_from_config(instance, config, fastpath_tcp_allowed(),
			       &policy) ||
	    policy_apply(instance, policy, &change)) {
		result = CMD_FAILED;
	} else {
		policy_report(&change, line->json);
		policy_settle(instance, policy, &change);
	}
out:
	policy_free(policy);
	config_free(config);
	instance_close(instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "config", "FILE", "default: the file that the policy came from" },
	{},
};

const struct cmd cmd_reload = {
	.name = "reload",
	.args = "",
	.help = "make the running policy equal to the file, in one step",
	.options = options,
	.run = run,
};
