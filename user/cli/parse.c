// SPDX-License-Identifier: GPL-2.0-only
/*
 * parse.c - not getopt_long: it takes every unique beginning of an option for
 * the option, and an abbreviation once accepted can never be told apart from a
 * name that comes later. Commands and options match in full here.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include "base/color.h"
#include "base/log.h"
#include "base/meant.h"
#include "base/safe.h"
#include "cli/cmd.h"
#include "cli/parse.h"

enum common {
	OPT_JSON,
	OPT_PIN_DIR,
	OPT_VERBOSE,
	OPT_QUIET,
	OPT_COLOR,
	OPT_HELP,
	OPT_VERSION
};

const struct cmd_option common_options[] = {
	[OPT_JSON] = { "json", NULL, "print data as JSON" },
	[OPT_PIN_DIR] = { "pin-dir", "DIR",
			  "the instance (default: $MASQBPF_PIN_DIR, else " MASQ_DEFAULT_PIN_DIR
			  ")" },
	[OPT_VERBOSE] = { "verbose", NULL, "-v: say more on stderr" },
	[OPT_QUIET] = { "quiet", NULL, "-q: only errors on stderr" },
	[OPT_COLOR] = { "color", "[auto|always|never]",
			"auto: on a terminal, unless NO_COLOR is set" },
	[OPT_HELP] = { "help", NULL, "-h: this text" },
	[OPT_VERSION] = { "version", NULL, "the version" },
	{},
};

const struct cmd *cmd_find(const struct cmd *const *commands, const char *name)
{
	for (int i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int find_option(const struct cmd_option *options, const char *name,
		       size_t length)
{
	for (int i = 0; options && options[i].name; i++)
		if (strlen(options[i].name) == length &&
		    !memcmp(options[i].name, name, length))
			return i;
	return -1;
}

/* ": did you mean NAME?", or nothing; stays until the next call. */
static const char *did_you_mean(const char *dashes, const char *meant)
{
	static char text[128];

	*text = '\0';
	if (meant)
		snprintf(text, sizeof(text), ": did you mean %s%s?", dashes,
			 meant);
	return text;
}

const char *cmd_meant(const struct cmd *const *commands, const char *typed)
{
	unsigned int least = UINT_MAX;
	const char *meant = NULL;

	for (int i = 0; commands[i]; i++)
		if (meant_nearer(typed, commands[i]->name, &least))
			meant = commands[i]->name;
	return did_you_mean("", meant);
}

/* Of the command, or of all of them. */
static const char *meant_option(const struct cmd *cmd, const char *name,
				size_t length)
{
	const struct cmd_option *const lists[] = { cmd ? cmd->options : NULL,
						   common_options };
	unsigned int least = UINT_MAX;
	const char *meant = NULL;
	char typed[MEANT_MAX + 2];

	snprintf(typed, sizeof(typed), "%.*s", (int)length, name);
	for (int i = 0; i < 2; i++)
		for (int k = 0; lists[i] && lists[i][k].name; k++)
			if (meant_nearer(typed, lists[i][k].name, &least))
				meant = lists[i][k].name;
	return did_you_mean("--", meant);
}

static bool is_number(const char *text)
{
	return text && *text && !text[strspn(text, "0123456789")];
}

/* "30s", "1h30m": no operand of a command looks like that. */
static bool is_duration(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	return length > 1 && strchr("0123456789.", *text) &&
	       strchr("smh", text[length - 1]) &&
	       strspn(text, "0123456789.nusmh") == length;
}

/* Is it one of those in "[A|B]"? */
static bool is_choice(const char *choices, const char *word)
{
	size_t length = strlen(word);

	if (*choices != '[' || choices[1] == '=' || !length)
		return false;
	for (const char *at = choices; at; at = strchr(at + 1, '|'))
		if (!strncmp(at + 1, word, length) &&
		    strchr("|]", at[1 + length]))
			return true;
	return false;
}

/* Is it the name of something that an operand may be? */
static bool is_there(const char *word)
{
	return if_nametoindex(word) || !access(word, F_OK);
}

/* Meant for one of those in "[A|B]", and none of them? */
static bool is_bad_choice(const char *choices, const char *word)
{
	static const char switches[] =
		"[true|false|yes|no|maybe|enable|enabled|disable|disabled|1|0]";
	char lower[16];
	size_t i;

	if (*choices != '[' || !strchr(choices, '|') || is_there(word))
		return false;
	for (i = 0; word[i] && i + 1 < sizeof(lower); i++)
		lower[i] = word[i] >= 'A' && word[i] <= 'Z' ? word[i] | ' '
							    : word[i];
	lower[i] = '\0';
	return !word[i] &&
	       (is_choice(choices, lower) || is_choice(switches, lower));
}

/* "5" for a duration: its unit is missing; but a generation has none. */
static bool is_bad_duration(const struct cmd_line *line, const char *word)
{
	const struct cmd *cmd = line->cmd;

	return is_number(word) && !is_there(word) &&
	       (line->argc >= cmd->max || !strstr(cmd->args, "GENERATION"));
}

/* How many words of argv an ignored option takes; 0: it is none. */
static int skip_ignored(struct cmd_line *line, char *const *argv)
{
	const struct cmd_option *options = line->cmd ? line->cmd->ignored
						     : NULL;
	const char *arg = argv[0];
	char name[32] = "";
	size_t length;
	int found;

	/* -v alone is ours; -v=2, -v2 and -v 2 are not */
	if (arg[1] == 'v' && is_number(arg + 2 + (arg[2] == '=')))
		arg = "--v=";
	else if (!strcmp(arg, "-v") && is_number(argv[1]))
		arg = "--v";
	if (strncmp(arg, "--", 2))
		return 0;
	length = strcspn(arg + 2, "=");
	if (length >= sizeof(name))
		return 0;
	memcpy(name, arg + 2, length);
	for (char *at = name; *at; at++)
		if (*at == '_')
			*at = '-';
	found = find_option(options, name, length);
	if (found < 0)
		return 0;
	line->ignored |= 1U << found;
	return !arg[2 + length] && *options[found].arg != '[' && argv[1] ? 2
									 : 1;
}

/* False: the value is none. */
static bool set_common(struct cmd_line *line, int option, const char *value,
		       bool *help, bool *version)
{
	switch (option) {
	case OPT_JSON:
		line->json = true;
		break;
	case OPT_PIN_DIR:
		line->pin_dir = value;
		break;
	case OPT_VERBOSE:
		log_level = 1;
		break;
	case OPT_QUIET:
		log_level = -1;
		break;
	case OPT_COLOR:
		return color_choose(value ?: "always");
	case OPT_HELP:
		*help = true;
		break;
	case OPT_VERSION:
		*version = true;
		break;
	}
	return true;
}

int cmd_parse(struct cmd_line *line, int argc, char **argv, bool *help,
	      bool *version)
{
	bool only_operands = false;

	line->argv = argv;
	for (int i = 1; i < argc; i++) {
		char *arg = argv[i];
		const struct cmd_option *option;
		const char *value = NULL, *name;
		int common, own, words;
		size_t length;

		if (only_operands || arg[0] != '-' || !arg[1]) {
			if (line->cmd) {
				line->argv[line->argc++] = arg;
				continue;
			}
			line->cmd = cmd_find(line->commands, arg);
			if (!line->cmd)
				return cmd_usage(
					line, "%.100s: no such command%s",
					shown(arg),
					cmd_meant(line->commands, arg));
			continue;
		}
		if (!strcmp(arg, "--")) {
			only_operands = true;
			continue;
		}
		words = skip_ignored(line, argv + i);
		if (words) {
			i += words - 1;
			continue;
		}
		if (!strcmp(arg, "-v") || !strcmp(arg, "-q") ||
		    !strcmp(arg, "-h")) {
			set_common(line,
				   arg[1] == 'v'   ? OPT_VERBOSE
				   : arg[1] == 'q' ? OPT_QUIET
						   : OPT_HELP,
				   NULL, help, version);
			continue;
		}
		if (!strcmp(arg, "-o") && line->cmd &&
		    find_option(line->cmd->options, "output", 6) >= 0)
			arg = (char *)"--output";
		if (arg[1] != '-')
			return cmd_usage(line, "%s: no such option", arg);

		name = arg + 2;
		length = strcspn(name, "=");
		common = find_option(common_options, name, length);
		own = line->cmd ? find_option(line->cmd->options, name, length)
				: -1;
		if (common < 0 && own < 0)
			return cmd_usage(line, "--%.*s: no such option%s%s",
					 length < 100 ? (int)length : 100, name,
					 line->cmd ? "" : " before the command",
					 meant_option(line->cmd, name, length));
		option = own >= 0 ? &line->cmd->options[own]
				  : &common_options[common];
		if (name[length] == '=')
			value = name + length + 1;
		if (value && !option->arg)
			return cmd_usage(line, "--%s: takes no value",
					 option->name);
		/* of "[=VALUE]" the value comes in the same word */
		if (!value && option->arg && *option->arg != '[') {
			if (i + 1 == argc || !strncmp(argv[i + 1], "--", 2))
				return cmd_usage(line, "--%s: needs %s",
						 option->name, option->arg);
			value = argv[++i];
		}
		if (!value && option->arg &&
		    !strcmp(option->arg, "[DURATION]") &&
		    (is_duration(argv[i + 1]) ||
		     is_bad_duration(line, argv[i + 1])))
			value = argv[++i];
		/* of "[A|B]" it may come in the next word, when it is one */
		if (!value && option->arg && i + 1 < argc &&
		    (is_choice(option->arg, argv[i + 1]) ||
		     is_bad_choice(option->arg, argv[i + 1])))
			value = argv[++i];
		if (option->arg && value && !*value)
			return cmd_usage(line, "--%s: %s is empty",
					 option->name, option->arg);
		if (own < 0) {
			if (!set_common(line, common, value, help, version))
				return cmd_usage(line, "--%s %s: not one of %s",
						 option->name, shown(value),
						 option->arg);
			continue;
		}
		if (line->values[own])
			return cmd_usage(line, "--%s: given twice",
					 option->name);
		line->values[own] = value ?: "";
	}
	return 0;
}
