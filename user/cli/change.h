/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * change.h - what every command does that changes the policy: says which ranges
 * flip and whom that meets, asks where it is a wide keep, applies, and watches
 * when --guard says so.
 */
#ifndef MASQ_CLI_CHANGE_H
#define MASQ_CLI_CHANGE_H

#include "cli/cmd.h"
#include "policy/policy.h"

/* The options of such a command; cmd_option rows. */
#define CHANGE_OPTIONS                                                       \
	{ "dry-run", NULL, "say what it would change, and change nothing" }, \
		{ "yes", NULL, "go on with a keep wider than any before" },  \
	{                                                                    \
		"guard", "[DURATION]",                                       \
			"stay, and take it back if it breaks traffic (2m)"   \
	}

#define CHANGE_STOP (-1) /* --dry-run: done */

/* Of the options; before anything is opened. */
int change_parse(const struct cmd_line *line);
/*
 * What the change from what runs would do, on stderr. CMD_OK: go on;
 * CHANGE_STOP; CMD_USAGE: it is not confirmed; CMD_FAILED. The lock is let go
 * while a person is asked. plan_judge may find flows: `from` and `to` stay the
 * caller's.
 */
int change_check(const struct cmd_line *line, struct instance *instance,
		 struct policy *from, struct policy *to);
/*
 * The same, but asks nobody: CMD_OK, CHANGE_STOP or CMD_FAILED. `from` may be
 * one that is only saved, `instance` its clock: no flow is looked for then.
 */
int change_say(const struct cmd_line *line, struct instance *instance,
	       struct policy *from, struct policy *to);
/* What is in force is saved, with what is answered where no agent does that. */
void change_save(struct instance *instance);
/* Applies, reports, and watches. enum cmd_exit */
int change_apply(const struct cmd_line *line, struct instance *instance,
		 struct policy *from, struct policy *to);

#endif
