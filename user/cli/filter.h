/* SPDX-License-Identifier: GPL-2.0-only */
/* filter.h - the filters that `flows`, `flush` and `watch` have in common. */
#ifndef MASQ_CLI_FILTER_H
#define MASQ_CLI_FILTER_H

#include "cli/cmd.h"
#include "plane/flows.h"

/* Does it match everything? */
bool flow_filter_is_empty(const struct flow_filter *filter);
/* For lists of options that have more. */
#define FLOW_FILTER_OPTIONS                                                                       \
	{ "pod", "ADDR|CIDR|NAME", "our side; NAME: namespace/name" },                            \
		{ "dest", "ADDR|CIDR", "original destination" },                                  \
		{ "port", "N", "original destination port" },                                     \
		{ "node-port", "N",                                                               \
		  "the node's port that the far side sees" },                                     \
		{ "proto", "NAME|N",                                                              \
		  "tcp, udp, icmp, sctp ..., or a number" },                                      \
		{ "state", "STATE",                                                               \
		  "unreplied, answered, established, closing or closed; new: of the first two" }, \
		{ "prefix", "CIDR", "the prefix that decided" },                                  \
		{ "action", "ACTION", "masquerade, keep or inbound" },                            \
	{                                                                                         \
		"unreplied", NULL, "sent, and never answered"                                     \
	}

extern const struct cmd_option flow_filter_options[];

/* CMD_OK, or CMD_USAGE with the reason printed. */
int flow_filter_read(const struct cmd_line *line, struct flow_filter *out);

#endif
