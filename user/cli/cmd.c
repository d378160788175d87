// SPDX-License-Identifier: GPL-2.0-only
/* cmd.c - what the commands share. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "cli/cmd.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/ward.h"

const char *cmd_value(const struct cmd_line *line, const char *name)
{
	const struct cmd_option *options = line->cmd->options;

	for (int i = 0; options && options[i].name; i++)
		if (!strcmp(options[i].name, name))
			return line->values[i];
	return NULL;
}

int cmd_usage(const struct cmd_line *line, const char *fmt, ...)
{
	const char *name = line->cmd ? line->cmd->name : NULL;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s%s%s (see masqbpf%s%s --help)", name ?: "",
		  name ? ": " : "", text, name ? " " : "", name ?: "");
	return CMD_USAGE;
}

int cmd_open(const struct cmd_line *line, enum instance_mode mode,
	     struct instance **out)
{
	int err = instance_open(line->pin_dir, mode, NULL, out);

	if (err == -ENOENT)
		log_error("%s: %s: not attached%s", line->pin_dir,
			  line->cmd->name,
			  mode == INSTANCE_REMOVE ||
					  !strcmp(line->cmd->name, "detach")
				  ? ""
				  : "; masqbpf attach IFACE begins it");
	if (!err && mode == INSTANCE_READ)
		ward_end(*out);
	/* sysctls, routes and addresses that count for it are not ours then */
	if (!err && mode == INSTANCE_WRITE && instance_is_elsewhere(*out))
		err = instance_say_elsewhere(*out);
	return err ? CMD_FAILED : CMD_OK;
}

int cmd_open_policy(const struct cmd_line *line, enum instance_mode mode,
		    struct instance **instance, struct policy **policy)
{
	int err;

	if (cmd_open(line, mode, instance))
		return CMD_FAILED;
	err = policy_read(*instance, policy);
	if (err == -ENODATA)
		log_error("%s: %s: no policy has been applied yet",
			  line->pin_dir, line->cmd->name);
	return err ? CMD_FAILED : CMD_OK;
}

void cmd_uninterrupted(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
}
