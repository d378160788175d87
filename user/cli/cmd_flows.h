/* SPDX-License-Identifier: GPL-2.0-only */
/* cmd_flows.h - the filters that `flows` and `flush` have in common. */
#ifndef MASQ_CMD_FLOWS_H
#define MASQ_CMD_FLOWS_H

#include "cli/cmd.h"
#include "plane/flows.h"

extern const struct cmd_option flow_filter_options[];

/* CMD_OK, or CMD_USAGE with the reason printed. */
int flow_filter_read(const struct cmd_line *line, struct flow_filter *out);

/* "10.44.0.5:443", "[fd00::5]:443" into END_STRLEN bytes; returns buf. */
#define END_STRLEN 64
const char *end_text(const struct addr *addr, uint16_t port, char *buf,
		     size_t len);

#endif
