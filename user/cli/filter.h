/* SPDX-License-Identifier: GPL-2.0-only */
/* filter.h - the filters that `flows`, `flush` and `watch` have in common. */
#ifndef MASQ_CLI_FILTER_H
#define MASQ_CLI_FILTER_H

#include "cli/cmd.h"
#include "plane/flows.h"

extern const struct cmd_option flow_filter_options[];

/* CMD_OK, or CMD_USAGE with the reason printed. */
int flow_filter_read(const struct cmd_line *line, struct flow_filter *out);

#endif
