// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - the table of commands and the reading of the command line.
 *
 * Not getopt_long: it takes every unique beginning of an option for the
 * option, and an abbreviation once accepted can never be told apart from a
 * name that comes later. Commands and options match in full here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "cli/cmd.h"
#include "plane/instance.h"

/* A line each: many changes add to it. */
/* clang-format off */
const struct cmd *const commands[] = {
	&cmd_attach,
	&cmd_detach,
	&cmd_status,
	&cmd_cidr,
	&cmd_reload,
	&cmd_check,
	&cmd_explain,
	&cmd_counters,
	&cmd_flows,
	&cmd_flush,
	&cmd_plan,
	&cmd_metrics,
	&cmd_agent,
	&cmd_watch,
	&cmd_top,
	&cmd_doctor,
	&cmd_import,
	&cmd_migrate,
	&cmd_history,
	&cmd_rollback,
	&cmd_completion,
	NULL,
};
/* clang-format on */

enum common {
	OPT_JSON,
	OPT_PIN_DIR,
	OPT_VERBOSE,
	OPT_QUIET,
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
	[OPT_HELP] = { "help", NULL, "-h: this text" },
	[OPT_VERSION] = { "version", NULL, "the version" },
	{},
};

static const struct cmd *find_command(const char *name)
{
	for (int i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void print_options(const struct cmd_option *options)
{
	for (; options && options->name; options++) {
		const char *arg = options->arg ?: "";
		int used = strlen(options->name) + strlen(arg) + !!*arg;

		printf("  --%s%s%s%*s %s\n", options->name, *arg ? " " : "",
		       arg, used < 20 ? 20 - used : 0, "", options->help);
	}
}

static void print_help(const struct cmd *cmd)
{
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
	} else {
		printf("usage: masqbpf COMMAND [ARG...]\n"
		       "eBPF masquerade for pod traffic that leaves a node\n"
		       "\ncommands:\n");
		for (int i = 0; commands[i]; i++)
			printf("  %-10s %s\n", commands[i]->name,
			       commands[i]->help);
		printf("\nmasqbpf COMMAND --help says more.\n");
	}
	printf("\ncommon options:\n");
	print_options(common_options);
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

static bool is_number(const char *text)
{
	return text && *text && !text[strspn(text, "0123456789")];
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

static void set_common(struct cmd_line *line, int option, const char *value,
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
	case OPT_HELP:
		*help = true;
		break;
	case OPT_VERSION:
		*version = true;
		break;
	}
}

/*
 * Reads argv into *line, permuting nothing: operands are moved to the front
 * of argv as they are met. 0, or CMD_USAGE with the reason printed.
 */
static int parse(struct cmd_line *line, int argc, char **argv, bool *help,
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
			line->cmd = find_command(arg);
			if (!line->cmd)
				return cmd_usage(line, "%s: no such command",
						 arg);
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
		if (arg[1] != '-')
			return cmd_usage(line, "%s: no such option", arg);

		name = arg + 2;
		length = strcspn(name, "=");
		common = find_option(common_options, name, length);
		own = line->cmd ? find_option(line->cmd->options, name, length)
				: -1;
		if (common < 0 && own < 0)
			return cmd_usage(
				line, "--%.*s: no such option%s", (int)length,
				name, line->cmd ? "" : " before the command");
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
		if (option->arg && value && !*value)
			return cmd_usage(line, "--%s: %s is empty",
					 option->name, option->arg);
		if (own < 0) {
			set_common(line, common, value, help, version);
			continue;
		}
		if (line->values[own])
			return cmd_usage(line, "--%s: given twice",
					 option->name);
		line->values[own] = value ?: "";
	}
	return 0;
}

/*
 * Descriptors 0 to 2 may be closed: a map or a lock must not get one of
 * these numbers and then be printed to. The placeholder cannot be written,
 * so a missing stdout is still noticed by finish_stdout.
 */
static int reserve_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

/* What was printed is out: 0, or -EIO once stdout could not be written (said). */
static int finish_stdout(void)
{
	struct pollfd pipe = { .fd = STDOUT_FILENO, .events = POLLOUT };
	int err = 0;

	if (fflush(stdout))
		err = errno;
	else if (ferror(stdout))
		err = EIO;
	if (!err)
		return 0;
	/* `masqbpf flows | head` is nobody's mistake */
	if (poll(&pipe, 1, 0) != 1 || !(pipe.revents & POLLERR))
		log_error("stdout: write failed: %s", strerror(err));
	return -EIO;
}

int main(int argc, char **argv)
{
	struct cmd_line line = { .pin_dir = getenv("MASQBPF_PIN_DIR") };
	bool help = false, version = false;
	int result;

	if (reserve_standard_fds())
		return CMD_FAILED;
	/* a closed pipe is reported by finish_stdout, not by death */
	signal(SIGPIPE, SIG_IGN);

	result = parse(&line, argc, argv, &help, &version);
	if (result)
		return result;
	if (!line.pin_dir || !*line.pin_dir)
		line.pin_dir = MASQ_DEFAULT_PIN_DIR;
	if (line.pin_dir[0] != '/' || strlen(line.pin_dir) > MASQ_PIN_DIR_MAX)
		return cmd_usage(&line,
				 "--pin-dir %s: not an absolute path of "
				 "at most %d characters",
				 line.pin_dir, MASQ_PIN_DIR_MAX);

	if (version) {
		printf("masqbpf %s\n", MASQ_VERSION);
	} else if (help) {
		print_help(line.cmd);
	} else if (!line.cmd) {
		return cmd_usage(&line, "no command given");
	} else if (line.argc < line.cmd->min) {
		return cmd_usage(&line, "needs %s", line.cmd->args);
	} else if (line.cmd->max != CMD_ANY && line.argc > line.cmd->max) {
		return cmd_usage(&line, "%s: one argument too many",
				 line.argv[line.cmd->max]);
	} else {
		result = line.cmd->run(&line);
	}
	if (finish_stdout() && result == CMD_OK)
		result = CMD_FAILED;
	return result;
}
