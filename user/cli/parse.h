/* SPDX-License-Identifier: GPL-2.0-only */
/* parse.h - the reading of the command line. */
#ifndef MASQ_CLI_PARSE_H
#define MASQ_CLI_PARSE_H

#include "cli/cmd.h"

/* What every command takes. */
extern const struct cmd_option common_options[];

/*
 * Reads argv into *line, whose `commands` are set, permuting nothing: operands
 * are moved to the front of argv as they are met. 0, or CMD_USAGE with the
 * reason printed.
 */
int cmd_parse(struct cmd_line *line, int argc, char **argv, bool *help,
	      bool *version);

#endif
