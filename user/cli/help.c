// SPDX-License-Identifier: GPL-2.0-only
/* help.c - from the table that the command line is read by. */
#include <stdio.h>
#include <string.h>
#include "base/safe.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/parse.h"

#define INDENT 25 /* where what an option does begins */

static void print_options(const struct cmd_option *options)
{
	for (; options && options->name; options++) {
		const char *arg = options->arg ?: "";
		int used = strlen(options->name) + strlen(arg) + !!*arg;

		words_print(stdout, INDENT, "  --%s%s%s%*s %s\n", options->name,
			    *arg ? " " : "", arg, used < 20 ? 20 - used : 0, "",
			    options->help);
	}
}

void cmd_help(const struct cmd_line *line)
{
	const struct cmd *const *commands = line->commands;
	const struct cmd *cmd = line->cmd;

	if (cmd) {
		printf("usage: masqbpf %s%s%s [OPTION...]\n%s\n", cmd->name,
		       *cmd->args ? " " : "", cmd->args, cmd->help);
		if (cmd->options) {
			printf("\noptions:\n");
			print_options(cmd->options);
		}
		if (cmd->ignored) {
			printf("\naccepted, without effect:\n");
			print_options(cmd->ignored);
		}
		if (cmd->examples)
			printf("\nexamples:\n%s", cmd->examples);
	} else {
		printf("usage: masqbpf COMMAND [ARG...]\n"
		       "eBPF masquerade for pod traffic that leaves a node\n"
		       "\ncommands:\n");
		for (int i = 0; commands[i]; i++)
			printf("  %-10s %s\n", commands[i]->name,
			       commands[i]->help);
		printf("\nmasqbpf help COMMAND says more.\n");
	}
	printf("\ncommon options:\n");
	print_options(common_options);
}

static int run(const struct cmd_line *line)
{
	struct cmd_line about = { .commands = line->commands };

	if (line->json)
		return cmd_usage(line, "--json: help is text alone");
	if (line->argc) {
		about.cmd = cmd_find(line->commands, line->argv[0]);
		if (!about.cmd)
			return cmd_usage(line, "%.100s: no such command%s",
					 shown(line->argv[0]),
					 cmd_meant(line->commands,
						   line->argv[0]));
	}
	cmd_help(&about);
	return CMD_OK;
}

const struct cmd cmd_help_command = {
	.name = "help",
	.args = "[COMMAND]",
	.help = "what a command does, its options, examples",
	.min = 0,
	.max = 1,
	.run = run,
};
