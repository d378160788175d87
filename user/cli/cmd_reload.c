// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_reload.c - `masqbpf reload`: the running policy becomes what the file
 * (or the preset that was taken without one) says.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/prefix.h"
#include "cli/change.h"
#include "cli/cmd.h"
#include "config/config.h"
#include "plane/fastpath.h"
#include "policy/policy.h"
#include "policy/read.h"

/* 0 and the config, or an exit code, which has been said. */
static int take_config(int failed, struct config **config, char *err,
		       size_t errlen)
{
	if (failed) {
		log_errors(err);
		return CMD_USAGE;
	}
	for (size_t i = 0; i < (*config)->warning_count; i++)
		log_warn("%s", (*config)->warnings[i]);
	if (!config_may_replace(*config, err, errlen))
		return CMD_OK;
	log_error("%s", err);
	return CMD_USAGE;
}

/* Without the lock: standard input may be somebody who thinks. */
static int load_named(const char *file, struct config **config)
{
	char err[CONFIG_ERRLEN];
	int failed = config_load(file, NULL, config, err, sizeof(err));

	return take_config(failed, config, err, sizeof(err));
}

/* Where the policy came from. */
static int load_running(struct instance *instance, struct config **config)
{
	struct policy *policy = NULL;
	char err[CONFIG_ERRLEN];
	const char *file;
	int failed = policy_read(instance, &policy), result;

	if (failed == -ENODATA)
		log_error(
			"reload: no policy has been applied yet: give --config FILE");
	if (failed)
		return CMD_FAILED;
	file = policy->source.config_path;
	if (!strcmp(file, "-")) {
		log_error(
			"reload: the policy came from standard input: give --config FILE");
		policy_free(policy);
		return CMD_USAGE;
	}
	failed = *file ? config_load(file, NULL, config, err, sizeof(err))
		       : config_preset(policy->source.preset, config, err,
				       sizeof(err));
	result = take_config(failed, config, err, sizeof(err));
	policy_free(policy);
	return result;
}

/* What was added by hand and the file does not say goes: by name. */
static void say_dropped(const struct policy *from, struct policy *to)
{
	char text[512] = "", cidr[CIDR_STRLEN];
	size_t named = 0, more = 0;

	for (size_t i = 0; i < from->count; i++) {
		const struct policy_entry *entry = &from->entries[i];
		const struct policy_entry *stays =
			policy_find(to, entry->list, &entry->cidr);
		size_t used = strlen(text);

		if (entry->origin != MASQ_O_RUNTIME ||
		    (stays && stays->action == entry->action))
			continue;
		if (named == 8) {
			more++;
			continue;
		}
		snprintf(text + used, sizeof(text) - used, "%s%s %s",
			 named++ ? ", " : "",
			 cidr_format(&entry->cidr, cidr, sizeof(cidr)),
			 action_name(entry->action));
	}
	if (more)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 " and %zu more", more);
	if (named)
		log_warn("reload: drops what was added at runtime: %s", text);
}

static int run(const struct cmd_line *line)
{
	struct policy *policy = NULL, *from = NULL;
	struct instance *instance = NULL;
	struct config *config = NULL;
	const char *file = cmd_value(line, "config");
	int result = change_parse(line), err;

	if (!result && file)
		result = load_named(file, &config);
	if (!result)
		result = cmd_open(line, INSTANCE_WRITE, &instance);
	if (!result && !file)
		result = load_running(instance, &config);
	if (result)
		goto out;
	result = CMD_FAILED;
	err = policy_read(instance, &from);
	if ((err && err != -ENODATA) ||
	    policy_from_config(instance, config, fastpath_tcp_allowed(),
			       &policy))
		goto out;
	if (from) {
		say_dropped(from, policy);
		result = change_check(line, instance, from, policy);
		if (result)
			goto out;
	}
	/* the table may become another one, which the policy is made for */
	policy_free(policy);
	policy = NULL;
	result = policy_fit(instance, config) ||
				 policy_from_config(instance, config,
						    fastpath_tcp_allowed(),
						    &policy)
			 ? CMD_FAILED
			 : change_apply(line, instance, from, policy);
out:
	policy_free(policy);
	policy_free(from);
	config_free(config);
	instance_close(instance);
	return result == CHANGE_STOP ? CMD_OK : result;
}

static const struct cmd_option options[] = {
	{ "config", "FILE", "default: the file that the policy came from" },
	CHANGE_OPTIONS,
	{},
};

const struct cmd cmd_reload = {
	.name = "reload",
	.args = "",
	.help = "make the running policy equal to the file, in one step",
	.options = options,
	.run = run,
};
