/* SPDX-License-Identifier: GPL-2.0-only */
/* show.h - what several commands print alike. */
#ifndef MASQ_CLI_SHOW_H
#define MASQ_CLI_SHOW_H

#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
#include "base/json.h"
#include "cli/cmd.h"
#include "config/settings.h"

/* "10.44.0.5:443", "[fd00::5]:443" into END_STRLEN bytes; returns buf. */
#define END_STRLEN 64
const char *end_text(const struct addr *addr, uint16_t port, char *buf,
		     size_t len);
/*
 * "10.1.2.3", "10.1.2.3:443", "2001:db8::1", "[2001:db8::1]:443"; without a port
 * *port is 0. CMD_OK, or CMD_USAGE with the reason printed.
 */
int end_read(const struct cmd_line *line, const char *text, struct addr *addr,
	     uint16_t *port);
/* "KEY": ["10.0.0.0/8", ...] */
void json_cidrs(struct json *j, const char *key,
		const struct config_cidrs *list);

#endif
