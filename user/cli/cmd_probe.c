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
#include "base/color.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "kernel/way.h"
#include "plane/counters.h"
#include "plane/ctl.h"
#include "plane/inside.h"
#include "plane/node.h"
#include "plane/trial.h"
#include "policy/policy.h"
#include "report/reach.h"

#define TIMEOUT_MS     3000
#define TIMEOUT_MAX_MS 60000
#define PODS_TRIED     16 /* until one of them is found to be there */
#define POD_MS	       500
#define DNS_PORT       53

/* "Who has the root?", which every DNS server answers somehow. */
static const uint8_t dns_question[] = { 0x6d, 0x71, 1, 0, 0, 1, 0, 0, 0,
					0,    0,    0, 0, 0, 2, 0, 1 };

struct probe {
	struct instance *instance;
	struct policy *policy;
	struct addr dest, pod; /* pod.family 0: none is known */
	uint32_t device; /* that it is behind */
	uint8_t proto; /* as in struct trial */
	uint16_t port;
	uint8_t payload[TRIAL_PAYLOAD_MAX];
	size_t payload_length;
	unsigned int timeout_ms;
	struct masq_ctl now; /* what the policy in force says of it */
	const struct policy_entry *entry;
	bool attached;
	struct trial trials[2]; /* as the node, as the pod */
	enum reach reach;
};

/* --- asking ------------------------------------------------------------ */

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

/* Is somebody there who has this address? Then *device is where. */
static bool pod_is_there(const struct probe *p, const struct addr *pod,
			 const uint32_t *uplinks, size_t count,
			 uint32_t *device)
{
	struct way way = { .next = *pod };

	*device = inside_device(pod, &p->dest, uplinks, count);
	if (!*device || !if_indextoname(*device, way.name))
		return false;
	way.ifindex = *device;
	return !way_neighbour(&way, POD_MS);
}

/* The pod to ask as: never an address that nobody has. */
static int find_pod(struct probe *p)
{
	uint32_t *uplinks = NULL, device = 0;
	char text[PODNAME_STRLEN];
	struct addr pod = {};
	size_t count = 0;
	int err = node_uplinks(p->instance, &uplinks, &count);

	if (err)
		return CMD_FAILED;
	if (p->pod.family) {
		if (!pod_is_there(p, &p->pod, uplinks, count, &p->device)) {
			log_error(
				"probe: --source %s: no pod of this node has this address%s",
				podname_beside(&p->pod, text, sizeof(text)),
				p->device ? ": nobody answers for it" : "");
			err = CMD_FAILED;
		}
		goto out;
	}
	for (int i = 0; i < PODS_TRIED &&
			inside_next_pod(p->instance, p->dest.family, &pod);
	     i++) {
		if (!pod_is_there(p, &pod, uplinks, count, &device))
			continue;
		p->pod = pod;
		p->device = device;
		break;
	}
out:
	free(uplinks);
	return err;
}

/* What the policy in force makes of it, for `policy now` and the node's
 * address. */
static int ask_policy(struct probe *p, const struct way *way)
{
	struct masq_ctl *ctl = &p->now;
	uint32_t *uplinks = NULL;
	size_t count = 0;
	int err = node_uplinks(p->instance, &uplinks, &count);

	if (err)
		return err;
	p->attached = inside_is_uplink(uplinks, count, way->ifindex);
	ctl->op = MASQ_CTL_EXPLAIN;
	ctl->family = p->dest.family;
	ctl->proto = p->proto == IPPROTO_ICMP && p->dest.family == 6
			     ? IPPROTO_ICMPV6
			     : p->proto;
	ctl->rem_port = htons(p->port);
	memcpy(ctl->in_addr, p->pod.a, sizeof(ctl->in_addr));
	memcpy(ctl->rem_addr, p->dest.a, sizeof(ctl->rem_addr));
	ctl->device = p->device;
	ctl->ifindex = p->attached || !count ? way->ifindex : uplinks[0];
	free(uplinks);
	err = instance_ctl(p->instance, ctl);
	if (!err && ctl->reason >= MASQ_R_MAX)
		err = -EPROTO;
	if (err)
		log_error("probe: masq_ctl: %s", strerror(-err));
	for (size_t i = 0; !err && i < p->policy->count; i++)
		if (p->policy->entries[i].slot == ctl->prefix)
			p->entry = &p->policy->entries[i];
	return err;
}

/* The source that the far side sees where it is masqueraded. */
static int node_source(const struct probe *p, const struct way *own,
		       struct addr *out)
{
	*out = (struct addr){ .family = p->dest.family };
	memcpy(out->a, p->now.xlat_addr, sizeof(out->a));
	if (p->now.action == MASQ_MASQUERADE && !p->now.reason &&
	    (out->a[0] | out->a[1] | out->a[2] | out->a[3]))
		return 0;
	if (way_source(own, p->dest.family, out))
		return 0;
	log_error("probe: %s: the node has no IPv%d address to ask from",
		  own->name, p->dest.family);
	return -EADDRNOTAVAIL;
}

static int try_both(struct probe *p)
{
	struct trial *node = &p->trials[0], *pod = &p->trials[1];
	int no_pod_way = -ENETUNREACH, no_own_way;
	struct way own = {}, way;
	char text[CIDR_STRLEN];

	no_own_way = way_find(&p->dest, NULL, 0, &own);
	if (no_own_way == -EADDRNOTAVAIL || no_own_way == -EPROTOTYPE) {
		log_error("probe: %s: %s: nothing of it leaves the node",
			  addr_format(&p->dest, text, sizeof(text)),
			  no_own_way == -EADDRNOTAVAIL
				  ? "is an address of the node itself"
				  : "is no one host's address");
		return no_own_way == -EADDRNOTAVAIL ? CMD_FAILED : CMD_USAGE;
	}
	if (p->device)
		no_pod_way = way_find(&p->dest, &p->pod, p->device, &way);
	*node = (struct trial){
		.dest = p->dest,
		.proto = p->proto,
		.port = p->port,
		.payload = p->payload,
		.payload_length = p->payload_length,
	};
	*pod = *node;
	if (no_own_way && no_pod_way) {
		node->reply.answer = pod->reply.answer = TRIAL_NO_WAY;
		node->err = no_own_way;
		pod->err = no_pod_way;
		pod->source = p->pod;
		p->reach = reach_judge(node, p->device ? pod : NULL);
		return CMD_OK;
	}
	if (no_pod_way)
		way = own;
	if (ask_policy(p, &way) ||
	    node_source(p, no_own_way ? &way : &own, &node->source))
		return CMD_FAILED;
	/* what a masqueraded packet of the pod would be */
	if (!no_pod_way) {
		node->pod = p->pod;
		node->device = p->device;
	}
	pod->as_pod = true;
	pod->source = pod->pod = p->pod;
	pod->device = p->device;
	if (p->device)
		log_info("probe: as %s: past the policy in force, %s",
			 podname_beside(&p->pod, text, sizeof(text)),
			 p->proto == IPPROTO_TCP ? "a SYN and its reset"
						 : "one packet, or two");
	if (trials_run(p->instance, p->trials, p->device ? 2 : 1, p->timeout_ms,
		       NULL, NULL))
		return CMD_FAILED;
	p->reach = reach_judge(node, p->device ? pod : NULL);
	return CMD_OK;
}

/* --- answering --------------------------------------------------------- */

static const char *proto_text(const struct probe *p)
{
	return p->proto == IPPROTO_TCP	 ? "tcp"
	       : p->proto == IPPROTO_UDP ? "udp"
					 : "icmp";
}

static const char *action_now(const struct probe *p)
{
	if (!p->now.op)
		return NULL;
	if (p->now.reason && p->now.prefix == MASQ_NO_PREFIX)
		return reasons[p->now.reason].drop ? "drop" : "pass";
	return p->attached ? action_name(p->now.action) : "pass";
}

static void json_trial(struct json *j, const char *key, const struct trial *t)
{
	char text[REACH_STRLEN];
	bool unknown;

	if (!t) {
		json_null(j, key);
		return;
	}
	unknown = t->reply.answer == TRIAL_BUSY ||
		  t->reply.answer == TRIAL_NOT_TRIED;
	json_object(j, key);
	if (t->source.family)
		json_string(j, "source",
			    addr_format(&t->source, text, sizeof(text)));
	else
		json_null(j, "source");
	podname_json(j, "pod", &t->source);
	if (unknown)
		json_null(j, "answered");
	else
		json_bool(j, "answered", reach_is_answer(t));
	json_string(j, "answer", reach_answer(t, text, sizeof(text)));
	if (t->reply.from.family)
		json_string(j, "from",
			    addr_format(&t->reply.from, text, sizeof(text)));
	else
		json_null(j, "from");
	if (t->reply.from.family)
		json_double(j, "rtt_ms", t->rtt_ms);
	else
		json_null(j, "rtt_ms");
	json_object_end(j);
}

static void print_json(const struct probe *p)
{
	const char *now = action_now(p);
	char text[320];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "destination",
		    addr_format(&p->dest, text, sizeof(text)));
	if (p->port)
		json_u64(&j, "port", p->port);
	else
		json_null(&j, "port");
	json_string(&j, "proto", proto_text(p));
	json_trial(&j, "as_node", &p->trials[0]);
	json_trial(&j, "as_pod", p->device ? &p->trials[1] : NULL);
	json_string(&j, "verdict", reach_text(p->reach, p->proto));
	json_string(&j, "cause", reach_name(p->reach));
	if (*p->trials[0].way.name)
		json_string(&j, "uplink", p->trials[0].way.name);
	else
		json_null(&j, "uplink");
	json_bool(&j, "uplink_attached", p->attached);
	if (now)
		json_string(&j, "action", now);
	else
		json_null(&j, "action");
	if (p->entry)
		json_string(&j, "prefix",
			    cidr_format(&p->entry->cidr, text, sizeof(text)));
	else
		json_null(&j, "prefix");
	json_object_end(&j);
	json_end(&j);
}

static void print_trial(const char *name, const struct trial *t)
{
	char text[REACH_STRLEN], pod[PODNAME_STRLEN];
	const char *color = t->reply.answer == TRIAL_OPEN ? color_green(stdout)
			    : reach_is_answer(t)	  ? color_yellow(stdout)
							  : color_red(stdout);

	printf("  %-13s %s\n", name,
	       t->source.family ? podname_beside(&t->source, pod, sizeof(pod))
				: "-");
	printf("  %-13s %s%s%s", "", color, reach_answer(t, text, sizeof(text)),
	       color_off(stdout));
	if (t->reply.from.family)
		printf(" after %.*f ms", t->rtt_ms < 10 ? 2 : 0, t->rtt_ms);
	putchar('\n');
}

/* Words with lines broken at 66 characters, behind a margin. */
static void print_wrapped(const char *text)
{
	size_t room = 66;

	while (*text) {
		size_t length = strlen(text);

		if (length > room) {
			for (length = room; length && text[length] != ' ';)
				length--;
			length = length ?: room;
		}
		printf("%.*s\n", (int)length, text);
		text += length;
		text += strspn(text, " ");
		if (*text)
			printf("  %-13s ", "");
	}
}

static void print_policy(const struct probe *p)
{
	const char *now = action_now(p);
	char text[320], dest[CIDR_STRLEN];
	int plen = p->dest.family == 4 ? 32 : 128;

	if (!now)
		return;
	printf("  %-13s %s", "policy now", now);
	if (!p->attached)
		printf(": %s is not attached", shown(p->trials[0].way.name));
	else if (p->entry)
		printf(" by %s",
		       cidr_format(&p->entry->cidr, text, sizeof(text)));
	else if (p->now.reason)
		printf(": %s", reasons[p->now.reason].what);
	putchar('\n');
	if (p->attached && p->entry)
		printf("  %-13s %s\n", "origin",
		       shown(policy_origin(p->policy, p->entry, text,
					   sizeof(text))));
	addr_format(&p->dest, dest, sizeof(dest));
	if (p->reach == REACH_ONLY_NODE && p->device && !strcmp(now, "keep"))
		printf("  %-13s masqbpf cidr add %s/%d --masquerade\n"
		       "  %-13s (or the whole range there)\n",
		       "to do", dest, plen, "");
	if (p->reach == REACH_ONLY_POD && !strcmp(now, "masquerade"))
		printf("  %-13s masqbpf cidr add %s/%d --keep\n"
		       "  %-13s (or the whole range there)\n",
		       "to do", dest, plen, "");
}

static void print_text(const struct probe *p)
{
	char text[CIDR_STRLEN];

	printf("%s%s%s  %s", color_bold(stdout),
	       addr_format(&p->dest, text, sizeof(text)), color_off(stdout),
	       proto_text(p));
	if (p->port)
		printf(" port %u", p->port);
	if (*p->trials[0].way.name)
		printf("  by %s", shown(p->trials[0].way.name));
	putchar('\n');
	print_trial("as the node", &p->trials[0]);
	if (p->device)
		print_trial("as a pod", &p->trials[1]);
	printf("  %-13s ", "verdict");
	print_wrapped(reach_text(p->reach, p->proto));
	print_policy(p);
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
	result = result ?: find_pod(&p) ?: try_both(&p);
	if (result)
		goto out;
	if (line->json)
		print_json(&p);
	else
		print_text(&p);
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
