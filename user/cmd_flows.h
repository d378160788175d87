/* SPDX-License-Identifier: GPL-2.0-only */
/* cmd_flows.h - the filters that `flows` and `flush` have in common. */
#ifndef MASQ_CMD_FLOWS_H
#define MASQ_CMD_FLOWS_H

#include "cmd.h"
#include "flows.h"

extern const struct cmd_option flow_filter_options[];

/* CMD_OK, or CMD_USAGE with the reason printed. */
int flow_filter_read(const struct cmd_line *line, struct flow_filter *out);

#endif
