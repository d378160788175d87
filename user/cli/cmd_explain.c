// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_explain.c - `masqbpf explain DEST`: what happens to a packet to DEST and
 * why, asked of the running program itself, and how the flows there fare.
 */
#include <string.h>
#include <netinet/in.h>
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/explain.h"
#include "cli/explain_print.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "policy/policy.h"

static int parse(const struct cmd_line *line, struct explain *e)
{
	const char *source = cmd_value(line, "source");
	const char *proto = cmd_value(line, "proto") ?: "tcp";
	const char *port = cmd_value(line, "port");
	uint16_t with_dest = 0;
	uint64_t number = 0;
	char err[256];

	if (end_read(line, line->argv[0], &e->dest, &with_dest) ||
	    (source && podname_read(line, "--source ", source, e->dest.family,
				    &e->source)))
		return CMD_USAGE;
	if (source && e->source.family != e->dest.family)
		return cmd_usage(
			line, "--source and DEST: one is IPv4, the other IPv6");
	if (port && number_parse(port, 1, 65535, &number, err, sizeof(err))) {
		log_error("explain: --port %s: %s", port, err);
		return CMD_USAGE;
	}
	if (port && with_dest)
		return cmd_usage(line, "%s: the port is given twice",
				 line->argv[0]);
	number = number ?: with_dest;
	if (!strcmp(proto, "icmp"))
		e->answer.proto = e->dest.family == 4 ? IPPROTO_ICMP
						      : IPPROTO_ICMPV6;
	else if (!strcmp(proto, "tcp"))
		e->answer.proto = IPPROTO_TCP;
	else if (!strcmp(proto, "udp"))
		e->answer.proto = IPPROTO_UDP;
	else
		return cmd_usage(line, "--proto %s: not tcp, udp or icmp",
				 proto);
	if (number && !strcmp(proto, "icmp"))
		return cmd_usage(line, "--port: ICMP has none");
	if (cmd_value(line, "proto"))
		e->only_proto = e->answer.proto + 1;
	e->narrowed = source || number || e->only_proto;
	e->answer.rem_port = htons(number);
	return CMD_OK;
}

/* It is answered all the same: of the policy alone. */
static void say_nobody(const struct explain *e)
{
	char text[PODNAME_STRLEN];

	if (e->source.family && !e->answer.device)
		log_info(
			"explain: --source %s: no route leads to such a pod here: the answer is what a pod of this address would get",
			podname_beside(&e->source, text, sizeof(text)));
}

static int run(const struct cmd_line *line)
{
	struct explain e = {};
	int result = parse(line, &e);

	if (result)
		return result;
	result = cmd_open_policy(line, INSTANCE_READ, &e.instance, &e.policy);
	if (result)
		goto out;
	if (instance_is_elsewhere(e.instance)) {
		instance_say_elsewhere(e.instance);
		result = CMD_FAILED;
		goto out;
	}
	if (explain_find_uplink(&e) || explain_ask(&e) ||
	    explain_find_stays(&e) || explain_count_flows(&e)) {
		result = CMD_FAILED;
		goto out;
	}
	if (!explain_is_fixed(e.answer.reason)) {
		explain_find_before(&e);
		say_nobody(&e);
	}
	if (line->json)
		explain_json(&e);
	else
		explain_print(&e);
out:
	policy_free(e.before);
	policy_free(e.policy);
	instance_close(e.instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "source", "POD", "a pod's address or namespace/name; default: any" },
	{ "proto", "PROTO", "tcp (default), udp or icmp" },
	{ "port", "N", "destination port" },
	{},
};

const struct cmd cmd_explain = {
	.name = "explain",
	.args = "DEST[:PORT]",
	.help = "what happens to a packet to DEST, and why",
	.min = 1,
	.max = 1,
	.options = options,
	.examples = "  masqbpf explain 172.30.12.110 --port 443\n"
		    "  masqbpf explain 172.30.12.110 --source shop/cart-0\n",
	.run = run,
};
