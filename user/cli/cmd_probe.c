// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_probe.c - `masqbpf probe DEST[:PORT]`: one attempt as the node and one as
 * a pod of this node, past the policy in force: who is answered, and what does
 * that mean?
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include "base/duration.h"
#include "base/log.h"
#include "base/safe.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/probe_print.h"
#include "cli/probe_try.h"
#include "cli/show.h"

#define TIMEOUT_MS     3000
#define TIMEOUT_MAX_MS 60000
#define DNS_PORT       53

/* "Who has the root?", which every DNS server answers somehow. */
static const uint8_t dns_question[] = { 0x6d, 0x71, 1, 0, 0, 1, 0, 0, 0,
					0,    0,    0, 0, 0, 2, 0, 1 };

/* "\x00" and "\n" stand for what they do in C. */
static int read_payload(const char *text, struct probe *p)
{
	size_t length = 0;

	for (; *text; text++) {
		uint8_t byte = *text;

		if (*text == '\\' && text[1] == 'n') {
			byte = '\n';
			text++;
		} else if (*text == '\\' && text[1] == '\\') {
			text++;
		} else if (*text == '\\' && text[1] == 'x') {
			char digits[3] = { text[2], text[2] ? text[3] : 0, 0 };

			if (strspn(digits, "0123456789abcdefABCDEF") != 2)
				return -EINVAL;
			byte = strtoul(digits, NULL, 16);
			text += 3;
		} else if (*text == '\\') {
			return -EINVAL;
		}
		if (length == sizeof(p->payload))
			return -E2BIG;
		p->payload[length++] = byte;
	}
	p->payload_length = length;
	return 0;
}

/* An address that no one host far away can have. */
static const char *no_host(const struct addr *a)
{
	const uint8_t *b = (const uint8_t *)a->a;

	if (a->family == 4)
		return b[0] >= 224 && b[0] < 240    ? "multicast"
		       : b[0] >= 240		    ? "no one host's address"
		       : b[0] == 127		    ? "the node itself"
		       : b[0] == 0		    ? "no one host's address"
		       : b[0] == 169 && b[1] == 254 ? "link-local"
						    : NULL;
	if (b[0] == 0xff)
		return "multicast";
	if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return "link-local";
	if (!a->a[0] && !a->a[1] && !a->a[2])
		return !a->a[3] ? "no one host's address" : "the node itself";
	return NULL;
}

static int read_times(const struct cmd_line *line, struct probe *p)
{
	const char *timeout = cmd_value(line, "timeout");
	char err[256];
	uint64_t ns;

	p->timeout_ms = TIMEOUT_MS;
	if (!timeout)
		return CMD_OK;
	if (duration_parse(timeout, &ns, err, sizeof(err))) {
		log_error("probe: --timeout %s: %s", timeout, err);
		return CMD_USAGE;
	}
	if (ns < 10000000 || ns > TIMEOUT_MAX_MS * UINT64_C(1000000))
		return cmd_usage(line, "--timeout %s: not from 10ms to 60s",
				 timeout);
	p->timeout_ms = ns / 1000000;
	return CMD_OK;
}

static int parse(const struct cmd_line *line, struct probe *p)
{
	const char *source = cmd_value(line, "source");
	const char *proto = cmd_value(line, "proto");
	const char *port = cmd_value(line, "port");
	const char *payload = cmd_value(line, "payload");
	int result = end_read(line, line->argv[0], &p->dest, &p->port)
			     ?: read_times(line, p);
	uint64_t number;
	const char *why;
	char err[256];

	if (result)
		return result;
	why = no_host(&p->dest);
	if (why) {
		log_error("probe: %s: %s: nothing there to probe",
			  line->argv[0], why);
		return CMD_USAGE;
	}
	if (port && p->port)
		return cmd_usage(line, "%s: the port is given twice",
				 line->argv[0]);
	if (port) {
		if (number_parse(port, 1, 65535, &number, err, sizeof(err))) {
			log_error("probe: --port %s: %s", port, err);
			return CMD_USAGE;
		}
		p->port = number;
	}
	if (!proto)
		proto = p->port ? "tcp" : "icmp";
	p->proto = !strcmp(proto, "tcp")    ? IPPROTO_TCP
		   : !strcmp(proto, "udp")  ? IPPROTO_UDP
		   : !strcmp(proto, "icmp") ? IPPROTO_ICMP
					    : 0;
	if (!p->proto)
		return cmd_usage(line, "--proto %s: not tcp, udp or icmp",
				 proto);
	if (p->proto != IPPROTO_ICMP && !p->port)
		return cmd_usage(line, "--proto %s: needs a port: DEST:PORT",
				 proto);
	if (p->proto == IPPROTO_ICMP && p->port)
		return cmd_usage(line, "--proto icmp: ICMP has no ports");
	if (payload && p->proto != IPPROTO_UDP)
		return cmd_usage(line, "--payload: with --proto udp alone");
	if (payload && read_payload(payload, p))
		return cmd_usage(
			line,
			"--payload: text of at most %d bytes, with \\xHH, \\n and \\\\",
			TRIAL_PAYLOAD_MAX);
	if (!payload && p->proto == IPPROTO_UDP && p->port == DNS_PORT) {
		memcpy(p->payload, dns_question, sizeof(dns_question));
		p->payload_length = sizeof(dns_question);
	}
	if (source &&
	    podname_read(line, "--source ", source, p->dest.family, &p->pod))
		return CMD_USAGE;
	if (source && p->pod.family != p->dest.family)
		return cmd_usage(
			line, "--source and DEST: one is IPv4, the other IPv6");
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	struct probe p = {};
	int result = parse(line, &p);

	if (result)
		return result;
	/* what is begun is taken back: a few seconds */
	cmd_uninterrupted();
	result = cmd_open_policy(line, INSTANCE_READ, &p.instance, &p.policy);
	if (!result && instance_is_elsewhere(p.instance)) {
		instance_say_elsewhere(p.instance);
		result = CMD_FAILED;
	}
	result = result ?: probe_find_pod(&p) ?: probe_try(&p);
	if (result)
		goto out;
	if (line->json)
		probe_print_json(&p);
	else
		probe_print_text(&p);
	if (!reach_is_answer(&p.trials[0]) &&
	    !(p.device && reach_is_answer(&p.trials[1])))
		result = CMD_FAILED;
out:
	policy_free(p.policy);
	instance_close(p.instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "source", "POD", "a pod's address or namespace/name; default: some" },
	{ "proto", "PROTO", "tcp (default with a port), udp or icmp" },
	{ "port", "N", "the same as DEST:N" },
	{ "payload", "TEXT",
	  "UDP: what to send; \\xHH, \\n and \\\\ are bytes" },
	{ "timeout", "DURATION", "wait so long for answers (default 3s)" },
	{},
};

const struct cmd cmd_probe = {
	.name = "probe",
	.args = "DEST[:PORT]",
	.help = "tries DEST as the node and as a pod: who is answered?",
	.min = 1,
	.max = 1,
	.options = options,
	.examples = "  masqbpf probe 172.30.12.110:443\n"
		    "  masqbpf probe 10.96.0.10:53 --proto udp\n"
		    "  masqbpf probe 172.30.12.110 --source shop/cart-0\n",
	.run = run,
};
