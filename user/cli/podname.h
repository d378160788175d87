/* SPDX-License-Identifier: GPL-2.0-only */
/* podname.h - pods as JSON has them, and as operands name them. */
#ifndef MASQ_CLI_PODNAME_H
#define MASQ_CLI_PODNAME_H

#include "base/json.h"
#include "cli/cmd.h"
#include "kernel/podname.h"

/* "KEY": {"namespace", "name"}, or null. */
void podname_json(struct json *j, const char *key, const struct addr *addr);
/*
 * An operand that is a pod: an address, or a name that is known, of this family
 * (0: either). CMD_OK, or CMD_USAGE with the reason printed.
 */
int podname_read(const struct cmd_line *line, const char *what,
		 const char *text, uint8_t family, struct addr *out);
/* Says why this one is none, `why` where it is meant as an address; the nearest
 * pod is named. CMD_USAGE. */
int podname_none(const struct cmd_line *line, const char *what,
		 const char *text, const char *why);

#endif
