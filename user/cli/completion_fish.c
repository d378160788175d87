// SPDX-License-Identifier: GPL-2.0-only
/* completion_fish.c - the script of fish. */
#include <stdio.h>
#include <string.h>
#include "cli/completion.h"
#include "cli/parse.h"

static void fish_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		printf("%s%c", *text == '\'' || *text == '\\' ? "\\" : "",
		       *text);
	putchar('\'');
}

static void fish_choice(const struct completion *choice)
{
	if (choice->files)
		printf(" -F");
	if (choice->dirs)
		printf(" -a '(__fish_complete_directories)'");
	if (*choice->words)
		printf(" -a '%s'", choice->words);
	if (choice->links)
		printf(" -a '(__masqbpf_links)'");
	if (choice->live)
		printf(" -a '(__masqbpf_live %s)'", choice->live);
}

static void fish_options(const char *condition,
			 const struct cmd_option *options)
{
	for (; options && options->name; options++) {
		printf("complete -c masqbpf %s -l %s", condition,
		       options->name);
		if (completion_takes_word(options)) {
			struct completion choice = completion_of_value(options);

			printf(choice.files ? " -r" : " -x");
			fish_choice(&choice);
		}
		printf(" -d ");
		fish_quoted(options->help);
		putchar('\n');
	}
}

void completion_fish(const struct cmd *const *commands)
{
	printf("# masqbpf completion fish\n"
	       /* what a substitution gives is not expanded once more */
	       "function __masqbpf_links\n"
	       "\tset -l links /sys/class/net/*\n"
	       "\tstring replace -r '^.*/' '' -- $links\n"
	       "end\n"
	       "function __masqbpf_live\n"
	       "\tset -l words (commandline -opc)\n"
	       "\tset -l dir\n"
	       "\tif set -l at (contains -i -- --pin-dir $words)\n"
	       "\t\tset dir --pin-dir $words[(math $at + 1)]\n"
	       "\tend\n"
	       "\tcommand masqbpf $dir completion values $argv[1] 2>/dev/null "
	       "</dev/null | string match -r '^[0-9a-z:][0-9a-z./:-]*$'\n"
	       "end\n"
	       "function __masqbpf_behind\n"
	       "\tset -l words (commandline -opc)\n"
	       "\ttest \"$words[-1]\" = $argv[1]\n"
	       "end\n"
	       "complete -c masqbpf -f\n"
	       "complete -c masqbpf -n '__fish_seen_subcommand_from cidr; and "
	       "__masqbpf_behind del' -a '(__masqbpf_live removable)'\n");
	fish_options("", common_options);
	for (int i = 0; commands[i]; i++) {
		const struct cmd *cmd = commands[i];
		struct completion choice = completion_of(cmd->args);
		char condition[128];

		printf("complete -c masqbpf -n __fish_use_subcommand -a %s -d ",
		       cmd->name);
		fish_quoted(cmd->help);
		putchar('\n');
		snprintf(condition, sizeof(condition),
			 "-n '__fish_seen_subcommand_from %s'", cmd->name);
		fish_options(condition, cmd->options);
		if (choice.files || choice.links || choice.live ||
		    *choice.words) {
			printf("complete -c masqbpf %s", condition);
			fish_choice(&choice);
			putchar('\n');
		}
	}
}
