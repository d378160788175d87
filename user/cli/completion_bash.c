// SPDX-License-Identifier: GPL-2.0-only
/* completion_bash.c - the script of bash. */
#include <stdio.h>
#include <string.h>
#include "cli/completion.h"
#include "cli/parse.h"

/*
 * No word that comes from the system or from the command line goes through a
 * shell's expansion: compgen -W would run $(...) in an interface's name, and
 * readline leaves the "$" of what it inserts as it is. Words are compared here
 * and quoted by printf %q, behind an open quote only those that need none.
 */
static const char bash_helpers[] =
	"_masqbpf_add() {\n"
	"\tlocal word\n"
	"\tfor word; do\n"
	"\t\t[[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\")\n"
	"\tdone\n"
	"}\n"
	"_masqbpf_names() {\n"
	"\tlocal begun=${cur#[\\\"\\']} kind=$1 quoted word words=()\n"
	"\tlocal open=${cur%\"$begun\"} plain=1\n"
	"\tbegun=${begun//\\\\/}\n"
	"\t[[ $begun == '~/'* ]] && begun=$HOME/${begun#'~/'}\n"
	"\tif [[ $kind == links ]]; then\n"
	"\t\tfor word in /sys/class/net/*; do\n"
	"\t\t\tword=${word##*/}\n"
	"\t\t\t[[ -L /sys/class/net/$word && $word == \"$begun\"* ]] &&\n"
	"\t\t\t\twords+=(\"$word\")\n"
	"\t\tdone\n"
	"\telse\n"
	"\t\tmapfile -t words < <(compgen \"$kind\" -- \"$begun\")\n"
	"\tfi\n"
	"\tfor word in \"${words[@]}\"; do\n"
	"\t\tprintf -v quoted %q \"$word\"\n"
	"\t\tif [[ $quoted != \"$word\" ]]; then\n"
	"\t\t\tplain=\n"
	"\t\t\t[[ $open ]] && continue\n"
	"\t\tfi\n"
	"\t\tCOMPREPLY+=(\"$quoted\")\n"
	"\tdone\n"
	"\t[[ $kind == links ]] && return\n"
	"\tif [[ $plain ]]; then\n"
	"\t\tcompopt -o filenames 2>/dev/null\n"
	"\telif [[ ${#words[@]} == 1 && -d ${words[0]} ]]; then\n"
	"\t\tCOMPREPLY=(\"${COMPREPLY[@]/%//}\")\n"
	"\t\tcompopt -o nospace 2>/dev/null\n"
	"\tfi\n"
	"}\n"
	/* readline begins a word at each colon: of an IPv6 prefix it wants the
	 * rest. What has other characters than these words have is none. */
	"_masqbpf_live() {\n"
	"\tlocal done= whole=$cur word words=()\n"
	"\t[[ ${COMP_LINE-} ]] && whole=${COMP_LINE:0:COMP_POINT} &&\n"
	"\t\twhole=${whole##*[[:blank:]]}\n"
	"\t[[ $COMP_WORDBREAKS == *:* ]] && done=${whole%\"${whole##*:}\"}\n"
	"\tmapfile -t words < <(command masqbpf \"${dir[@]}\" completion \\\n"
	"\t\tvalues \"$1\" 2>/dev/null </dev/null)\n"
	"\tfor word in \"${words[@]}\"; do\n"
	"\t\t[[ $word == \"$whole\"* && $word != -* &&\n"
	"\t\t\t$word != *[!0-9a-z./:-]* ]] &&\n"
	"\t\t\tCOMPREPLY+=(\"${word#\"$done\"}\")\n"
	"\tdone\n"
	"}\n";

static void bash_choice(const struct completion *choice, const char *more)
{
	if (*choice->words || *more)
		printf("_masqbpf_add %s%s%s", choice->words,
		       *choice->words && *more ? " " : "", more);
	else
		printf(":");
	if (choice->files)
		printf("; _masqbpf_names -f");
	if (choice->dirs)
		printf("; _masqbpf_names -d");
	if (choice->links)
		printf("; _masqbpf_names links");
	if (choice->live)
		printf("; _masqbpf_live %s", choice->live);
}

static void bash_values(const char *command, const struct cmd_option *options)
{
	for (; options && options->name; options++) {
		struct completion choice;

		if (!completion_takes_word(options))
			continue;
		choice = completion_of_value(options);
		printf("\t%s:--%s) ", command, options->name);
		bash_choice(&choice, "");
		printf("; return ;;\n");
	}
}

static void add_options(char *text, size_t size,
			const struct cmd_option *options)
{
	for (; options && options->name; options++)
		snprintf(text + strlen(text), size - strlen(text), "%s--%s",
			 *text ? " " : "", options->name);
}

void completion_bash(const struct cmd *const *commands)
{
	char options[1024], common[256] = "", names[512] = "";

	add_options(common, sizeof(common), common_options);
	for (int i = 0; commands[i]; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names),
			 "%s ", commands[i]->name);
	printf("# masqbpf completion bash\n");
	fputs(bash_helpers, stdout);
	printf("_masqbpf() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} cmd= i\n"
	       "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]} dir=() typed=()\n"
	       "\tCOMPREPLY=()\n"
	       /* without what readline splits at colons; read expands nothing */
	       "\tif [[ ${COMP_LINE-} ]]; then\n"
	       "\t\tread -ra typed <<<\"${COMP_LINE:0:COMP_POINT}x\"\n"
	       "\t\t((${#typed[@]} > 1)) && prev=${typed[${#typed[@]}-2]}\n"
	       "\tfi\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\t[[ ${COMP_WORDS[i]} == --pin-dir ]] &&\n"
	       "\t\t\tdir=(--pin-dir \"${COMP_WORDS[i+1]}\")\n"
	       "\tdone\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n"
	       "\t\t--pin-dir) ((i++)) ;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*) cmd=${COMP_WORDS[i]}; break ;;\n"
	       "\t\tesac\n"
	       "\tdone\n"
	       "\tcase $cmd:$prev in\n");
	bash_values("*", common_options);
	for (int i = 0; commands[i]; i++)
		bash_values(commands[i]->name, commands[i]->options);
	printf("\tcidr:del) _masqbpf_live removable; return ;;\n"
	       "\tesac\n"
	       "\tcase $cmd in\n"
	       "\t'') _masqbpf_add %s%s ;;\n",
	       names, common);
	for (int i = 0; commands[i]; i++) {
		struct completion choice = completion_of(commands[i]->args);

		*options = '\0';
		add_options(options, sizeof(options), commands[i]->options);
		add_options(options, sizeof(options), common_options);
		/* what it is about comes first; options for who asks */
		printf("\t%s) [[ $cur == -* ]] || { ", commands[i]->name);
		bash_choice(&choice, "");
		printf("; }; ((${#COMPREPLY[@]})) || _masqbpf_add %s ;;\n",
		       options);
	}
	printf("\tesac\n"
	       "}\n"
	       "complete -F _masqbpf masqbpf\n");
}
