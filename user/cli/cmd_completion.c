// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_completion.c - `masqbpf completion SHELL`: a completion script, made
 * from the table of commands that --help is made from.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cli/cmd.h"
#include "cli/parse.h"
#include "config/preset.h"
#include "kernel/podname.h"
#include "plane/inside.h"
#include "policy/history.h"
#include "policy/policy.h"

/* What can stand for a word of a usage text; words in small letters are
 * themselves, and all else only the user knows. */
enum kind {
	WORDS,
	FILES,
	DIRS,
	LINKS,
	LIVE
};

static const struct {
	const char *name;
	enum kind kind;
	const char *words; /* LIVE: of `completion values` */
} places[] = {
	{ "FILE", FILES, NULL },
	{ "DIR", DIRS, NULL },
	{ "IFACE", LINKS, NULL },
	{ "KIND", WORDS, "auto tcx tc" },
	{ "STATE", WORDS, "new established closing closed" },
	{ "ACTION", WORDS, "masquerade keep inbound" },
	{ "FORMAT", WORDS, "text json vpc-flow-log" },
	{ "LIST", WORDS, "new end drop policy" },
	{ "PROTO", WORDS, "tcp udp icmp" },
	{ "ORDER", WORDS, "age idle bytes pod dest" },
	{ "GENERATION", LIVE, "generations" },
	{ "POD", LIVE, "pods" },
	{ "KEY", WORDS, "rate packets flows unreplied name" },
};
#define PLACES (sizeof(places) / sizeof(places[0]))

/* What may come at one place of a command line. */
struct choice {
	bool files, dirs, links;
	const char *live; /* a list of `completion values`; NULL: none */
	char words[512]; /* separated by blanks */
};

static void add_words(struct choice *choice, const char *words, size_t length)
{
	size_t used = strlen(choice->words);

	snprintf(choice->words + used, sizeof(choice->words) - used, "%s%.*s",
		 used ? " " : "", (int)length, words);
}

static void add_word(struct choice *choice, const char *word, size_t length)
{
	for (size_t i = 0; i < PLACES; i++) {
		if (strlen(places[i].name) != length ||
		    memcmp(places[i].name, word, length))
			continue;
		choice->files |= places[i].kind == FILES;
		choice->dirs |= places[i].kind == DIRS;
		choice->links |= places[i].kind == LINKS;
		if (places[i].kind == LIVE)
			choice->live = places[i].words;
		else if (places[i].words)
			add_words(choice, places[i].words,
				  strlen(places[i].words));
		return;
	}
	if (islower((unsigned char)*word))
		add_words(choice, word, length);
}

/* "FILE|running", "IFACE... | --all", "list | add CIDR | del CIDR" */
static struct choice choose(const char *usage)
{
	struct choice choice = {};

	while (*usage) {
		size_t length = strcspn(usage, " |.[]");

		if (length)
			add_word(&choice, usage, length);
		usage += length + !!usage[length];
	}
	return choice;
}

static struct choice choose_value(const struct cmd_option *option)
{
	struct choice choice = choose(option->arg);

	if (!strcmp(option->name, "prefix"))
		choice.live = "prefixes";
	if (!strcmp(option->name, "pod"))
		choice.live = "pods";
	if (!strcmp(option->name, "proto") && !*choice.words)
		add_words(&choice, "tcp udp icmp sctp", 17);
	if (!strcmp(option->name, "preset"))
		for (const char *p = config_preset_names(); *p;) {
			size_t length = strcspn(p, ", ");

			if (length)
				add_words(&choice, p, length);
			p += length + !!p[length];
		}
	return choice;
}

/* "[=BOOL]" may be left out, and never is a word of its own. */
static bool takes_word(const struct cmd_option *option)
{
	return option->arg && option->arg[0] != '[';
}

/* --- bash -------------------------------------------------------------- */

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

static void bash_choice(const struct choice *choice, const char *more)
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
		struct choice choice;

		if (!takes_word(options))
			continue;
		choice = choose_value(options);
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

static void print_bash(const struct cmd *const *commands)
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
		struct choice choice = choose(commands[i]->args);

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

/* --- zsh --------------------------------------------------------------- */

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

static void zsh_choice(const struct choice *choice)
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
		if (takes_word(options)) {
			struct choice choice = choose_value(options);

			printf(":%s:", options->arg);
			zsh_choice(&choice);
		}
		printf("'");
	}
}

static void print_zsh(const struct cmd *const *commands)
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
		struct choice choice = choose(commands[i]->args);

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

/* --- fish -------------------------------------------------------------- */

static void fish_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		printf("%s%c", *text == '\'' || *text == '\\' ? "\\" : "",
		       *text);
	putchar('\'');
}

static void fish_choice(const struct choice *choice)
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
		if (takes_word(options)) {
			struct choice choice = choose_value(options);

			printf(choice.files ? " -r" : " -x");
			fish_choice(&choice);
		}
		printf(" -d ");
		fish_quoted(options->help);
		putchar('\n');
	}
}

static void print_fish(const struct cmd *const *commands)
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
		struct choice choice = choose(cmd->args);
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

/* --- what there is right now ----------------------------------------------- */

#define VALUES_MAX 1000
#define PODS_MAX   200

static void print_prefixes(const struct policy *policy, bool built_in)
{
	char text[CIDR_STRLEN];
	size_t count = 0;

	for (size_t i = 0; i < policy->count && count < VALUES_MAX; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list != MASQ_L_DST ||
		    (!built_in && entry->origin == MASQ_O_BUILTIN))
			continue;
		printf("%s\n", cidr_format(&entry->cidr, text, sizeof(text)));
		count++;
	}
}

static void print_generations(const struct instance *instance, uint32_t g)
{
	for (; (g = history_newest(instance, g)); g--)
		printf("%u\n", g);
}

/* Each name once, whatever addresses it has. */
static void print_names(void)
{
	const struct cni *cni = podname_all();

	for (size_t i = 0; cni && i < cni->count && i < VALUES_MAX; i++) {
		const struct cni_pod *pod = &cni->pods[i];
		size_t k = 0;

		while (k < i && (strcmp(cni->pods[k].name, pod->name) ||
				 strcmp(cni->pods[k].space, pod->space)))
			k++;
		if (k == i)
			printf("%s/%s\n", pod->space, pod->name);
	}
}

/* Those that have flows, and no name. */
static void print_pods(struct instance *instance)
{
	char text[CIDR_STRLEN];

	for (uint8_t family = 4; family <= 6; family += 2) {
		struct addr pod = {};

		for (int i = 0;
		     i < PODS_MAX && inside_next_pod(instance, family, &pod);
		     i++)
			if (!podname_of(&pod))
				printf("%s\n",
				       addr_format(&pod, text, sizeof(text)));
	}
}

/* Who presses Tab does not wait for who has the lock. */
static void end_soon(void)
{
	const struct itimerspec soon = { .it_value.tv_sec = 2 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGTERM };
	timer_t timer;

	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &soon, NULL);
}

static int print_values(const struct cmd_line *line)
{
	const char *what = line->argc > 1 ? line->argv[1] : "";
	bool prefixes = !strcmp(what, "prefixes");
	bool removable = !strcmp(what, "removable");
	bool generations = !strcmp(what, "generations");
	struct instance *instance = NULL;
	struct policy *policy = NULL;
	int result;

	if (!prefixes && !removable && !generations && strcmp(what, "pods"))
		return cmd_usage(
			line,
			"values %s: not prefixes, removable, generations or pods",
			what);
	end_soon();
	if (!strcmp(what, "pods"))
		print_names();
	fflush(stdout);
	result = cmd_open_policy(line, INSTANCE_READ, &instance, &policy);
	if (!result && (prefixes || removable))
		print_prefixes(policy, prefixes);
	else if (!result && generations)
		print_generations(instance, policy->head.generation);
	else if (!result)
		print_pods(instance);
	policy_free(policy);
	instance_close(instance);
	return result;
}

static int run(const struct cmd_line *line)
{
	const char *shell = line->argv[0];

	if (!strcmp(shell, "values"))
		return print_values(line);
	if (line->argc > 1)
		return cmd_usage(line, "%s: one word is enough", line->argv[1]);
	if (!strcmp(shell, "bash"))
		print_bash(line->commands);
	else if (!strcmp(shell, "zsh"))
		print_zsh(line->commands);
	else if (!strcmp(shell, "fish"))
		print_fish(line->commands);
	else
		return cmd_usage(line, "%s: not bash, zsh or fish", shell);
	return CMD_OK;
}

const struct cmd cmd_completion = {
	.name = "completion",
	.args = "bash|zsh|fish | values WHAT",
	.help = "a completion script for that shell, on stdout",
	.min = 1,
	.max = 2,
	.run = run,
};
