// SPDX-License-Identifier: GPL-2.0-only
/* filter.c - from options to a filter. */
#include <string.h>
#include "base/log.h"
#include "cli/filter.h"
#include "cli/podname.h"

const struct cmd_option flow_filter_options[] = {
	FLOW_FILTER_OPTIONS,
	{},
};

static int bad_value(const struct cmd_line *line, const char *option,
		     const char *why)
{
	log_error("%s: --%s %s: %s", line->cmd->name, option,
		  cmd_value(line, option), why);
	return CMD_USAGE;
}

static int read_range(const struct cmd_line *line, const char *option,
		      struct cidr *out)
{
	const char *text = cmd_value(line, option);
	char err[256];

	if (text && cidr_or_addr_parse(text, out, err, sizeof(err)))
		return bad_value(line, option, err);
	return CMD_OK;
}

/* A name stands for what it has of both families. */
static int read_pod(const struct cmd_line *line, struct flow_filter *filter)
{
	const char *text = cmd_value(line, "pod");
	struct addr addr, other;
	char err[256];
	int result;

	if (text && !podname_is_name(text) &&
	    cidr_or_addr_parse(text, &filter->pod, err, sizeof(err)))
		return podname_none(line, "--pod ", text, err);
	if (!text || !podname_is_name(text))
		return CMD_OK;
	result = podname_read(line, "--pod ", text, 0, &addr);
	if (result)
		return result;
	filter->pod = cidr_of(&addr, addr.family == 4 ? 32 : 128);
	if (podname_find(text, addr.family == 4 ? 6 : 4, &other))
		filter->pod_too = cidr_of(&other, other.family == 4 ? 32 : 128);
	return CMD_OK;
}

static int read_port(const struct cmd_line *line, const char *option,
		     int32_t *out)
{
	const char *text = cmd_value(line, option);
	uint64_t number;
	char err[256];

	if (!text)
		return CMD_OK;
	if (number_parse(text, 1, 65535, &number, err, sizeof(err)))
		return bad_value(line, option, err);
	*out = number;
	return CMD_OK;
}

bool flow_filter_is_empty(const struct flow_filter *filter)
{
	static const struct flow_filter nothing;

	return !memcmp(filter, &nothing, sizeof(nothing));
}

/* Reads the value of a named choice with one of the parsers of flows.h. */
static int read_name(const struct cmd_line *line, const char *option,
		     int (*parse)(const char *text, uint8_t *out),
		     const char *why, uint8_t *out, bool *given)
{
	const char *text = cmd_value(line, option);

	*given = text;
	if (text && parse(text, out))
		return bad_value(line, option, why);
	return CMD_OK;
}

/* A state, or what the column of that name shows instead of it. */
static int read_state(const struct cmd_line *line, struct flow_filter *filter,
		      uint8_t *state, bool *given)
{
	const char *text = cmd_value(line, "state") ?: "";

	if (!strcmp(text, "unreplied")) {
		filter->unreplied = true;
		return CMD_OK;
	}
	if (!strcmp(text, "answered")) {
		filter->replied = true;
		*given = !flow_state_parse("new", state);
		return CMD_OK;
	}
	return read_name(
		line, "state", flow_state_parse,
		"not new, unreplied, answered, established, closing or closed",
		state, given);
}

int flow_filter_read(const struct cmd_line *line, struct flow_filter *out)
{
	struct flow_filter filter = { .unreplied =
					      cmd_flag(line, "unreplied") };
	uint8_t proto = 0, state = 0;
	bool by_proto, by_state = false, by_action;
	int result;

	result = read_pod(line, &filter) ?:
		 read_range(line, "dest", &filter.dest) ?:
		 read_range(line, "prefix", &filter.prefix) ?:
		 read_port(line, "port", &filter.port) ?:
		 read_port(line, "node-port", &filter.node_port) ?:
		 read_name(line, "proto", proto_parse,
			   "not tcp, udp, icmp, sctp or another name, nor 0 to 255", &proto,
			   &by_proto) ?:
		 read_state(line, &filter, &state, &by_state) ?:
		 read_name(line, "action", flow_action_parse,
			   "not masquerade, keep or inbound", &filter.kind,
			   &by_action);
	if (result)
		return result;
	if (by_proto)
		filter.proto = proto + 1;
	if (by_proto && proto_is_icmp(proto) && filter.port)
		return cmd_usage(line, "--port: ICMP has none");
	if (by_state)
		filter.state = state + 1;
	*out = filter;
	return CMD_OK;
}
