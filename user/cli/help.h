/* SPDX-License-Identifier: GPL-2.0-only */
/* help.h - what --help says. */
#ifndef MASQ_CLI_HELP_H
#define MASQ_CLI_HELP_H

#include "cli/cmd.h"

/* Of line->cmd; NULL: of all of them. To stdout. */
void cmd_help(const struct cmd_line *line);

#endif
