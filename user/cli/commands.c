// SPDX-License-Identifier: GPL-2.0-only
/* commands.c - in the order of --help. */
#include <stddef.h>
#include "cli/commands.h"

/* A line each: many changes add to it. */
/* clang-format off */
const struct cmd *const cmd_table[] = {
	&cmd_attach,
	&cmd_detach,
	&cmd_status,
	&cmd_cidr,
	&cmd_reload,
	&cmd_check,
	&cmd_explain,
	&cmd_probe,
	&cmd_counters,
	&cmd_flows,
	&cmd_flush,
	&cmd_plan,
	&cmd_metrics,
	&cmd_agent,
	&cmd_watch,
	&cmd_top,
	&cmd_doctor,
	&cmd_import,
	&cmd_migrate,
	&cmd_history,
	&cmd_rollback,
	&cmd_completion,
	&cmd_help_command,
	NULL,
};
/* clang-format on */
