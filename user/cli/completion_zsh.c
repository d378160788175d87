// SPDX-License-Identifier: GPL-2.0-only
/* completion_zsh.c - the script of zsh. */
#include <stdio.h>
#include <string.h>
#include "cli/completion.h"
#include "cli/parse.h"

/* In single quotes; `special` are those that the reader behind the shell
 * takes for its own. */
static void print_quoted(const char *text, const char *special)
{
	for (; *text; text++) {
		if (strchr(special, *text))
			printf("\\%c", *text);
		else if (*text == '\'')
			printf("'\\''");
		else
			putchar(*text);
	}
}

static void zsh_choice(const struct completion *choice)
{
	if (choice->links)
		printf("_masqbpf_links");
	else if (choice->live && *choice->words)
		printf("{_masqbpf_live %s; compadd %s}", choice->live,
		       choice->words);
	else if (choice->live)
		printf(" _masqbpf_live %s", choice->live);
	else if (choice->files && *choice->words)
		/* both: zsh wants one action; a file may be named like them */
		printf("{_alternative \"w\\:word\\:(%s)\" \"f\\:file\\:_files\"}",
		       choice->words);
	else if (choice->files)
		printf("_files");
	else if (choice->dirs)
		printf("_files -/");
	else
		printf("(%s)", choice->words);
}

static void zsh_options(const struct cmd_option *options)
{
	for (; options && options->name; options++) {
		printf(" \\\n\t\t'--%s[", options->name);
		print_quoted(options->help, "[]:\\");
		printf("]");
		if (completion_takes_word(options)) {
			struct completion choice = completion_of_value(options);

			printf(":%s:", options->arg);
			zsh_choice(&choice);
		}
		printf("'");
	}
}

void completion_zsh(const struct cmd *const *commands)
{
	printf("#compdef masqbpf\n"
	       "# masqbpf completion zsh\n"
	       /* names as they are: compadd quotes what it inserts */
	       "_masqbpf_links() {\n"
	       "\tlocal -a links=(/sys/class/net/*(N@:t))\n"
	       "\tcompadd -a links\n"
	       "}\n"
	       "_masqbpf_live() {\n"
	       "\tsetopt localoptions extendedglob\n"
	       "\tlocal -a dir values\n"
	       "\tlocal i=${words[(i)--pin-dir]}\n"
	       "\t((i < CURRENT - 1)) && dir=(--pin-dir \"$words[i+1]\")\n"
	       "\tvalues=(${(f)\"$(command masqbpf $dir completion values $1 \\\n"
	       "\t\t2>/dev/null </dev/null)\"})\n"
	       "\tcompadd -- ${(M)values:#[0-9a-z:][0-9a-z.\\/:-]#}\n"
	       "}\n"
	       "_masqbpf_cidr() {\n"
	       "\tcase $words[CURRENT-1] in\n"
	       "\tdel) _masqbpf_live removable ;;\n"
	       "\tset) _files ;;\n"
	       "\tcidr) compadd list add del set ;;\n"
	       "\tesac\n"
	       "}\n"
	       "_masqbpf() {\n"
	       "\tlocal -a commands=(\n");
	for (int i = 0; commands[i]; i++) {
		printf("\t\t'%s:", commands[i]->name);
		print_quoted(commands[i]->help, "\\");
		printf("'\n");
	}
	printf("\t)\n"
	       "\tlocal i=2\n"
	       "\twhile ((i < CURRENT)) && [[ $words[i] == -* ]]; do\n"
	       "\t\t[[ $words[i] == --pin-dir ]] && ((i++))\n"
	       "\t\t((i++))\n"
	       "\tdone\n"
	       "\tif ((i >= CURRENT)); then\n"
	       "\t\t_describe command commands\n"
	       "\t\t_arguments");
	zsh_options(common_options);
	printf("\n\t\treturn\n"
	       "\tfi\n"
	       "\tcase $words[i] in\n");
	for (int i = 0; commands[i]; i++) {
		struct completion choice = completion_of(commands[i]->args);

		printf("\t%s) _arguments", commands[i]->name);
		zsh_options(commands[i]->options);
		zsh_options(common_options);
		/* the first one is the command */
		printf(" \\\n\t\t'1:command:' '*:");
		print_quoted(*commands[i]->args ? commands[i]->args : "none",
			     "[]:\\");
		printf(":");
		if (!strcmp(commands[i]->name, "cidr"))
			printf(" _masqbpf_cidr");
		else
			zsh_choice(&choice);
		printf("' ;;\n");
	}
	printf("\tesac\n"
	       "}\n"
	       "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
	       "\t_masqbpf \"$@\"\n"
	       "else\n"
	       "\tcompdef _masqbpf masqbpf\n"
	       "fi\n");
}
