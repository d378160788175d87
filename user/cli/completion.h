/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * completion.h - what may come at each place of a command line, from the table
 * of commands that --help is made from; and that in each shell's words.
 */
#ifndef MASQ_CLI_COMPLETION_H
#define MASQ_CLI_COMPLETION_H

#include <stdbool.h>
#include "cli/cmd.h"

/* What may come at one place of a command line. */
struct completion {
	bool files, dirs, links;
	const char *live; /* a list of `completion values`; NULL: none */
	char words[512]; /* separated by blanks */
};

/* Of a usage text: "FILE|running", "IFACE... | --all", "list | add CIDR". */
struct completion completion_of(const char *usage);
/* Of what an option takes. */
struct completion completion_of_value(const struct cmd_option *option);
/* "[=BOOL]" may be left out, and never is a word of its own. */
bool completion_takes_word(const struct cmd_option *option);

/* A script, on stdout. */
void completion_bash(const struct cmd *const *commands);
void completion_zsh(const struct cmd *const *commands);
void completion_fish(const struct cmd *const *commands);

#endif
