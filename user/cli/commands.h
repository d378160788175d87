/* SPDX-License-Identifier: GPL-2.0-only */
/* commands.h - every command, ended by NULL. */
#ifndef MASQ_CLI_COMMANDS_H
#define MASQ_CLI_COMMANDS_H

#include "cli/cmd.h"

extern const struct cmd *const cmd_table[];

extern const struct cmd cmd_attach;
extern const struct cmd cmd_detach;
extern const struct cmd cmd_status;
extern const struct cmd cmd_cidr;
extern const struct cmd cmd_reload;
extern const struct cmd cmd_check;
extern const struct cmd cmd_explain;
extern const struct cmd cmd_probe;
extern const struct cmd cmd_counters;
extern const struct cmd cmd_flows;
extern const struct cmd cmd_flush;
extern const struct cmd cmd_plan;
extern const struct cmd cmd_metrics;
extern const struct cmd cmd_agent;
extern const struct cmd cmd_watch;
extern const struct cmd cmd_top;
extern const struct cmd cmd_doctor;
extern const struct cmd cmd_import;
extern const struct cmd cmd_migrate;
extern const struct cmd cmd_history;
extern const struct cmd cmd_rollback;
extern const struct cmd cmd_completion;
extern const struct cmd cmd_help_command;

#endif
