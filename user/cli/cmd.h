/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cmd.h - what a command is. One table in commands.c, one file cmd_NAME.c each.
 * parse.c reads the command line by that table, so a command sees only parsed
 * values and --help can never differ from what is accepted.
 *
 * To add a command: a `struct cmd cmd_NAME` in cmd_NAME.c, its declaration and
 * its line in commands.h and commands.c.
 */
#ifndef MASQ_CMD_H
#define MASQ_CMD_H

#include <stdbool.h>
#include "plane/instance.h"

/* Exit codes (contract.md). */
enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1, /* failed, or a negative answer */
	CMD_USAGE = 2, /* usage or config; nothing was changed */
	CMD_CHANGES = 3, /* plan --exit-code */
};

struct cmd_option {
	const char *name; /* without the dashes */
	/* what --help calls its value; NULL: takes none; "[=BOOL]": may,
	 * in the same word; "[DURATION]": may, in the next one too */
	const char *arg;
	const char *help; /* one line */
};

#define CMD_MAX_OPTIONS 24
#define CMD_ANY		(-1)

struct cmd_line;

struct cmd {
	const char *name;
	const char *args; /* operands, as --help shows them; "" for none */
	const char *help; /* one line */
	int min, max; /* operands; CMD_ANY: no upper limit */
	const struct cmd_option *options; /* ended by {}; NULL: none */
	int (*run)(const struct cmd_line *line); /* enum cmd_exit */
	/*
	 * Of another program whose command lines are taken: without effect, as
	 * often as they come, with _ for - as well. At most 32.
	 */
	const struct cmd_option *ignored;
	const char *examples; /* lines; NULL: --help has none */
};

/* A command line as understood. Common options have their own fields. */
struct cmd_line {
	const struct cmd *const *commands; /* all there are, ended by NULL */
	const struct cmd *cmd;
	bool json;
	const char *pin_dir;
	int argc; /* operands */
	char **argv;
	const char
		*values[CMD_MAX_OPTIONS]; /* by cmd->options; use cmd_value */
	uint32_t ignored; /* of cmd->ignored: bits by their place */
};

/* The command of this name; NULL: none. */
const struct cmd *cmd_find(const struct cmd *const *commands, const char *name);
/* ": did you mean NAME?" of a command, or ""; stays until the next call. */
const char *cmd_meant(const struct cmd *const *commands, const char *typed);

/* The value of --NAME; "" when it takes none; NULL when it was not given. */
const char *cmd_value(const struct cmd_line *line, const char *name);
static inline bool cmd_flag(const struct cmd_line *line, const char *name)
{
	return cmd_value(line, name) != NULL;
}

/* Prints "masqbpf: CMD: text" and where help is; returns CMD_USAGE. */
int cmd_usage(const struct cmd_line *line, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Opens the instance that runs, to change it only from its own network
 * namespace: CMD_OK, or CMD_FAILED with the reason printed, "not attached"
 * included. *out is to be closed in either case.
 */
int cmd_open(const struct cmd_line *line, enum instance_mode mode,
	     struct instance **out);
/* And the policy in force; both are to be freed in either case. */
struct policy;
int cmd_open_policy(const struct cmd_line *line, enum instance_mode mode,
		    struct instance **instance, struct policy **policy);

/*
 * From here on Ctrl-C and SIGTERM wait until the command has done or taken
 * back what it began.
 */
void cmd_uninterrupted(void);

#endif
