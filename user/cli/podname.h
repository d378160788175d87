/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * podname.h - the names of pods beside their addresses, where the node knows
 * them. Read once it is asked for; who runs long reads them again now and then.
 */
#ifndef MASQ_CLI_PODNAME_H
#define MASQ_CLI_PODNAME_H

#include <stdbool.h>
#include "base/json.h"
#include "cli/cmd.h"
#include "kernel/cni.h"

/* Are any names known? */
bool podname_known(void);
/* "10.44.0.5", or "10.44.0.5 shop/cart-0"; returns buf. */
#define PODNAME_STRLEN (CIDR_STRLEN + CNI_STRLEN)
const char *podname_beside(const struct addr *addr, char *buf, size_t len);
/* "shop/cart-0", or "-"; returns buf. */
const char *podname_only(const struct addr *addr, char *buf, size_t len);
/* "KEY": {"namespace", "name"}, or null. */
void podname_json(struct json *j, const char *key, const struct addr *addr);
/*
 * An operand that is a pod: an address, or a name that is known, of this family
 * (0: either). CMD_OK, or CMD_USAGE with the reason printed.
 */
int podname_read(const struct cmd_line *line, const char *what,
		 const char *text, uint8_t family, struct addr *out);
/* Has the pod of this name an address of this family? */
bool podname_find(const char *text, uint8_t family, struct addr *out);
/* Is it meant as a name, not as an address? */
bool podname_is_name(const char *text);

#endif
