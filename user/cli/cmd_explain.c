// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_explain.c - `masqbpf explain DEST`: what happens to a packet to DEST and
 * why, asked of the running program itself, and how the flows there fare.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <net/if.h>
#include <netinet/in.h>
#include "base/color.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "base/table.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "kernel/netdev.h"
#include "plane/counters.h"
#include "plane/ctl.h"
#include "plane/flows.h"
#include "plane/inside.h"
#include "plane/node.h"
#include "policy/history.h"
#include "policy/policy.h"
#include "policy/treat.h"

#define GROUPS 64 /* that are told apart */
#define SHOWN  8

/* Unanswered flows of one pod to one port. */
struct group {
	struct flow latest;
	uint64_t count;
};

struct explain {
	struct instance *instance;
	struct policy *policy;
	struct addr dest, source; /* source.family 0: any pod */
	struct masq_ctl answer;
	const struct policy_entry *entry; /* that decided; NULL: none */
	struct addr seen; /* what the far side sees; family 0: depends */
	const struct pool *pool; /* that each pod has one of; NULL: no such */
	char uplink[IF_NAMESIZE]; /* by which DEST is reached; "": none */
	bool attached;
	int no_route; /* errno of the pod's way to DEST; 0: there is one */
	char device[IF_NAMESIZE]; /* that the pod is behind; "": not known */

	/* the last policy that treated it otherwise; NULL: none is kept */
	struct policy *before;
	struct plan_treatment was;
	struct history_note change; /* that ended it */

	/* flows to DEST */
	uint64_t masqueraded, kept, inbound, unreplied, kept_unreplied;
	struct group groups[GROUPS]; /* unreplied, the latest ones first */
	size_t group_count;
	bool narrowed; /* to a pod, a port or a protocol */
	uint16_t only_proto; /* number + 1; 0: any */
};

/* --- asking ------------------------------------------------------------ */

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

/*
 * The uplink whose program is asked: the one by which the pod's packets to DEST
 * leave, which its address and its device may decide. Where that is not
 * attached, the answer is what an attached one would do.
 */
static int find_uplink(struct explain *e)
{
	uint32_t *uplinks = NULL, ifindex = 0, device = 0;
	struct addr pod = e->source;
	size_t count = 0;
	int err = node_uplinks(e->instance, &uplinks, &count);

	if (err)
		return err;
	/* any pod's way is one pod's way, where one is known */
	if (pod.family || inside_next_pod(e->instance, e->dest.family, &pod))
		device = inside_device(&pod, &e->dest, uplinks, count);
	if (device) {
		if (!if_indextoname(device, e->device))
			e->device[0] = '\0';
		err = netdev_route_from(&e->dest, &pod, device, &ifindex);
		memcpy(e->answer.xlat_addr, pod.a, sizeof(pod.a));
	} else {
		err = netdev_route_to(&e->dest, &ifindex);
	}
	e->answer.device = device;
	e->no_route = -err;
	if (!err) {
		if (!if_indextoname(ifindex, e->uplink))
			e->uplink[0] = '\0';
		e->attached = inside_is_uplink(uplinks, count, ifindex);
	}
	if (e->attached)
		e->answer.ifindex = ifindex;
	else if (count)
		e->answer.ifindex = uplinks[0];
	free(uplinks);
	return 0;
}

/* What the node does with a packet that it has no way for. */
static const char *no_route_text(int err)
{
	switch (err) {
	case EHOSTUNREACH:
		return "unreachable";
	case EACCES:
		return "prohibit";
	case EINVAL:
		return "blackhole";
	case EXDEV:
		return "refused by rp_filter";
	default:
		return "none";
	}
}

static bool is_translated(const struct explain *e)
{
	return e->answer.action == MASQ_MASQUERADE && !e->answer.reason;
}

static int ask(struct explain *e)
{
	struct masq_ctl *answer = &e->answer;
	int err;

	answer->op = MASQ_CTL_EXPLAIN;
	answer->family = e->dest.family;
	memcpy(answer->in_addr, e->source.a, sizeof(answer->in_addr));
	memcpy(answer->rem_addr, e->dest.a, sizeof(answer->rem_addr));
	err = instance_ctl(e->instance, answer);
	if (err) {
		log_error("explain: masq_ctl: %s", strerror(-err));
		return err;
	}
	if (answer->reason >= MASQ_R_MAX) {
		log_error("explain: masq_ctl: unknown reason %u",
			  answer->reason);
		return -EPROTO;
	}
	for (size_t i = 0; i < e->policy->count; i++)
		if (e->policy->entries[i].slot == answer->prefix)
			e->entry = &e->policy->entries[i];
	if (is_translated(e) && e->entry && e->entry->snat &&
	    pool_size(&e->policy->snat[e->entry->snat - 1]) > 1)
		e->pool = &e->policy->snat[e->entry->snat - 1];
	if (e->no_route || (e->pool && !e->source.family)) {
		e->seen.family = 0;
	} else if (is_translated(e)) {
		e->seen.family = e->dest.family;
		memcpy(e->seen.a, answer->xlat_addr, sizeof(e->seen.a));
	} else if (!reasons[answer->reason].drop) {
		e->seen = e->source;
	}
	return 0;
}

/* --- what it was before ------------------------------------------------ */

/* The same under every policy? */
static bool is_fixed(uint32_t reason)
{
	return reason == MASQ_R_HOST || reason == MASQ_R_MULTICAST ||
	       reason == MASQ_R_LINK_LOCAL;
}

static void find_before(struct explain *e)
{
	struct plan_treatment now = plan_treat(e->policy, &e->source, &e->dest);
	uint32_t generation = e->policy->head.generation;
	uint32_t later = generation;

	while ((generation = history_newest(e->instance, generation - 1))) {
		struct policy *policy;

		if (history_load(e->instance, generation, &policy, NULL))
			continue;
		e->was = plan_treat(policy, &e->source, &e->dest);
		if (e->was.action != now.action) {
			e->before = policy;
			break;
		}
		policy_free(policy);
		later = generation;
	}
	if (!e->before)
		return;
	if (history_load(e->instance, later, NULL, &e->change))
		e->change.change.generation = later;
}

/* Its entry for DEST; NULL: none, or a source list decided. */
static const struct policy_entry *entry_before(const struct explain *e)
{
	struct cidr host = { e->dest, e->dest.family == 4 ? 32 : 128 };
	const struct policy_entry *entry = policy_match(e->before, &host);

	return entry && (entry->action == MASQ_KEEP) ==
				       (e->was.action == PLAN_KEEP)
		       ? entry
		       : NULL;
}

/* --- its flows --------------------------------------------------------- */

/* Alike: what one glance takes for the same. */
static bool is_alike(const struct flow *a, const struct flow *b)
{
	return addr_equal(&a->in, &b->in) && a->proto == b->proto &&
	       a->kind == b->kind && flow_orig(a).dport == flow_orig(b).dport;
}

/* Into its group; the groups in the order of their latest flow. */
static void keep_sample(struct explain *e, const struct flow *flow)
{
	struct group group = { .latest = *flow, .count = 1 };
	size_t i = 0;

	while (i < e->group_count && !is_alike(&e->groups[i].latest, flow))
		i++;
	if (i < e->group_count) {
		group.count = ++e->groups[i].count;
		if (e->groups[i].latest.age <= flow->age)
			return;
	} else if (e->group_count < GROUPS) {
		e->group_count++;
	} else if (e->groups[GROUPS - 1].latest.age > flow->age) {
		i = GROUPS - 1;
	} else {
		return;
	}
	for (; i > 0 && e->groups[i - 1].latest.age > flow->age; i--)
		e->groups[i] = e->groups[i - 1];
	e->groups[i] = group;
}

static int count_flow(void *data, const struct flow *flow)
{
	struct explain *e = data;

	if (flow->kind == MASQ_K_FWD)
		e->masqueraded++;
	else if (flow->kind == MASQ_K_KEEP)
		e->kept++;
	else
		e->inbound++;
	if (flow->replied)
		return 0;
	e->unreplied++;
	if (flow->kind == MASQ_K_KEEP)
		e->kept_unreplied++;
	keep_sample(e, flow);
	return 0;
}

static int count_flows(struct explain *e)
{
	struct flow_filter filter = {
		.dest = { e->dest, e->dest.family == 4 ? 32 : 128 },
		.port = ntohs(e->answer.rem_port),
		.proto = e->only_proto,
	};
	int err;

	if (e->source.family)
		filter.pod =
			cidr_of(&e->source, e->source.family == 4 ? 32 : 128);
	err = flows_walk(e->instance, &filter, count_flow, e);

	if (err)
		log_error("explain: flows: %s", strerror(-err));
	return err;
}

/* --- answering --------------------------------------------------------- */

/* What the table of docs calls the treatment of its packets. */
static const char *action_text(const struct explain *e)
{
	const struct masq_ctl *answer = &e->answer;

	if (answer->reason && answer->prefix == MASQ_NO_PREFIX)
		return reasons[answer->reason].drop ? "drop" : "pass";
	return action_name(answer->action);
}

/* What the address comes from that the far side sees. */
static const char *source_by(const struct explain *e)
{
	if (e->entry && e->entry->snat)
		return "snat";
	return e->instance->meta.features & MASQ_FEAT_FIB_SRC ? "route"
							      : "uplink";
}

static void json_text(struct json *j, const char *key, const char *text)
{
	if (text)
		json_string(j, key, text);
	else
		json_null(j, key);
}

static void print_json(const struct explain *e)
{
	char text[320];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "destination",
		    addr_format(&e->dest, text, sizeof(text)));
	podname_json(&j, "pod", &e->source);
	json_string(&j, "action", action_text(e));
	json_text(&j, "prefix",
		  e->entry ? cidr_format(&e->entry->cidr, text, sizeof(text))
			   : NULL);
	json_text(&j, "origin",
		  e->entry ? policy_origin(e->policy, e->entry, text,
					   sizeof(text))
			   : NULL);
	json_u64(&j, "generation", e->answer.generation);
	json_text(&j, "source_seen",
		  e->seen.family ? addr_format(&e->seen, text, sizeof(text))
				 : NULL);
	if (e->pool) {
		json_array(&j, "source_pool");
		for (int i = 0; i < e->pool->count; i++)
			json_string(&j, NULL,
				    pool_range_format(&e->pool->range[i], text,
						      sizeof(text)));
		json_array_end(&j);
	} else {
		json_null(&j, "source_pool");
	}
	json_u64(&j, "live_flows", e->masqueraded + e->kept + e->inbound);
	json_u64(&j, "unreplied_flows", e->unreplied);
	json_u64(&j, "masqueraded_flows", e->masqueraded);
	json_u64(&j, "kept_flows", e->kept);
	json_text(&j, "reason",
		  e->answer.reason ? reasons[e->answer.reason].name : NULL);
	json_text(&j, "uplink", *e->uplink ? e->uplink : NULL);
	json_bool(&j, "uplink_attached", e->attached);
	json_text(&j, "no_route",
		  e->no_route ? no_route_text(e->no_route) : NULL);
	json_text(&j, "source_by", is_translated(e) ? source_by(e) : NULL);
	if (e->before) {
		const struct policy_entry *entry = entry_before(e);

		json_object(&j, "before");
		json_u64(&j, "generation", e->before->head.generation);
		json_string(&j, "action", plan_action_name(e->was.action));
		json_text(&j, "prefix",
			  entry ? cidr_format(&entry->cidr, text, sizeof(text))
				: NULL);
		json_object_end(&j);
		json_object(&j, "changed");
		json_u64(&j, "generation", e->change.change.generation);
		json_double(&j, "time", e->change.applied_ns / 1e9);
		json_string(&j, "who", e->change.who);
		json_string(&j, "command", e->change.command);
		json_object_end(&j);
	} else {
		json_null(&j, "before");
		json_null(&j, "changed");
	}
	json_object_end(&j);
	json_end(&j);
}

static void print_headline(const struct explain *e)
{
	const struct reason *reason = &reasons[e->answer.reason];
	const char *action = action_text(e), *color, *what;
	char text[CIDR_STRLEN];

	if (reason->drop) {
		color = color_red(stdout);
		what = reason->what;
	} else if (!strcmp(action, "masquerade")) {
		color = color_green(stdout);
		what = "leaves with the node's address";
	} else if (!strcmp(action, "keep")) {
		color = color_yellow(stdout);
		what = "leaves with the pod's own address";
	} else {
		color = color_bold(stdout);
		what = reason->what;
	}
	printf("%s%s%s  %s%s%s%s  %s\n", color_bold(stdout),
	       addr_format(&e->dest, text, sizeof(text)), color_off(stdout),
	       color, action, reason->drop ? ", but dropped" : "",
	       color_off(stdout), what);
	if (e->answer.reason && *reason->todo)
		printf("  %-13s %s\n", reason->name, reason->todo);
}

static void print_why(const struct explain *e)
{
	struct timespec now;
	uint64_t applied = e->policy->head.applied_ns / 1000000000;
	char text[320];

	clock_gettime(CLOCK_REALTIME, &now);
	if (e->entry) {
		printf("  %-13s %s%s\n", "prefix",
		       cidr_format(&e->entry->cidr, text, sizeof(text)),
		       e->entry->list == MASQ_L_DST ? "" : " (its source)");
		printf("  %-13s %s\n", "origin",
		       shown(policy_origin(e->policy, e->entry, text,
					   sizeof(text))));
	}
	printf("  %-13s %u, in force for %s", "generation",
	       e->answer.generation,
	       human_age((uint64_t)now.tv_sec > applied ? now.tv_sec - applied
							: 0,
			 text, sizeof(text)));
	if (e->entry && e->entry->since == e->answer.generation)
		printf("; the prefix came with it");
	else if (e->entry)
		printf("; the prefix since %u", e->entry->since);
	putchar('\n');
}

static void print_before(const struct explain *e)
{
	const struct policy_entry *entry;
	struct timespec now;
	uint64_t changed = e->change.applied_ns / 1000000000;
	char text[CIDR_STRLEN];

	if (!e->before)
		return;
	entry = entry_before(e);
	clock_gettime(CLOCK_REALTIME, &now);
	printf("  %-13s %s%s%s", "before", color_yellow(stdout),
	       plan_action_name(e->was.action), color_off(stdout));
	if (entry)
		printf(" by %s", cidr_format(&entry->cidr, text, sizeof(text)));
	printf(", in generation %u\n", e->before->head.generation);
	printf("  %-13s %s ago by generation %u, %s: %s\n", "changed",
	       human_age((uint64_t)now.tv_sec > changed ? now.tv_sec - changed
							: 0,
			 text, sizeof(text)),
	       e->change.change.generation, shown(e->change.who),
	       shown(e->change.command));
}

static void print_seen(const struct explain *e)
{
	bool keep = !strcmp(action_text(e), "keep");
	char text[CIDR_STRLEN], pool[POOL_STRLEN];

	if (e->pool && e->seen.family)
		printf("  %-13s %s, this pod's of %s\n", "far side sees",
		       addr_format(&e->seen, text, sizeof(text)),
		       pool_format(e->pool, pool, sizeof(pool)));
	else if (e->pool && !e->no_route)
		printf("  %-13s one of %s, of each pod always the same\n",
		       "far side sees",
		       pool_format(e->pool, pool, sizeof(pool)));
	else if (e->seen.family)
		printf("  %-13s %s%s\n", "far side sees",
		       addr_format(&e->seen, text, sizeof(text)),
		       is_translated(e) && !strcmp(source_by(e), "uplink")
			       ? " (the uplink's: this kernel tells no route's source)"
			       : "");
	else if (keep)
		printf("  %-13s the pod's address\n", "far side sees");
	if (keep)
		printf("  %-13s need a route to %s over there, and its firewalls' consent\n",
		       "replies",
		       e->seen.family
			       ? addr_format(&e->seen, text, sizeof(text))
			       : "the pod");
	if (e->no_route)
		printf("  %-13s %s%s%s%s%s: nothing of it leaves the node\n",
		       "route", color_red(stdout), no_route_text(e->no_route),
		       color_off(stdout), *e->device ? ", from " : "",
		       shown(e->device));
	/* where the policy has a say, it only has it on attached uplinks */
	if (e->entry && *e->uplink && !e->attached)
		printf("  %-13s %s%s is not attached: what leaves by it passes untouched%s\n",
		       "uplink", color_red(stdout), shown(e->uplink),
		       color_off(stdout));
}

static void print_flows(const struct explain *e)
{
	uint64_t live = e->masqueraded + e->kept + e->inbound;
	const char *red = e->unreplied ? color_red(stdout) : "";
	const char *off = e->unreplied ? color_off(stdout) : "";

	printf("  %-13s ", e->narrowed ? "such flows" : "live flows");
	if (!live) {
		printf("none\n");
		return;
	}
	printf("%llu masqueraded, %llu kept",
	       (unsigned long long)e->masqueraded, (unsigned long long)e->kept);
	if (e->inbound)
		printf(", %llu inbound", (unsigned long long)e->inbound);
	printf(", %s%llu of %llu never answered%s\n", red,
	       (unsigned long long)e->unreplied, (unsigned long long)live, off);
}

static void print_samples(const struct explain *e)
{
	const char *headers[] = { "  UNANSWERED", "POD",   ">PORT", "ACTION",
				  ">AGE",	  ">LEFT", NULL,    NULL };
	char text[CIDR_STRLEN], pod[PODNAME_STRLEN];
	uint64_t shown_flows = 0;
	bool many = false;
	struct table *t;

	if (!e->group_count)
		return;
	for (size_t i = 0; i < e->group_count; i++)
		many |= e->groups[i].count > 1;
	if (many)
		headers[6] = ">FLOWS";
	putchar('\n');
	t = table_new(headers);
	for (size_t i = 0; i < e->group_count && i < SHOWN; i++) {
		const struct flow *flow = &e->groups[i].latest;
		struct flow_tuple orig = flow_orig(flow);

		table_cell(t, "  %s",
			   proto_name(flow->proto, text, sizeof(text)));
		table_cell(t, "%s", podname_beside(orig.src, pod, sizeof(pod)));
		table_cell(t, "%u", orig.dport);
		table_cell(t, "%s", flow_action(flow));
		table_cell(t, "%s",
			   human_age(ticks_to_seconds(e->instance, flow->age),
				     text, sizeof(text)));
		table_cell(t, "%s",
			   human_age(ticks_to_seconds(e->instance, flow->left),
				     text, sizeof(text)));
		if (many)
			table_cell(t, "%llu",
				   (unsigned long long)e->groups[i].count);
		table_row_end(t);
		shown_flows += e->groups[i].count;
	}
	table_print(t, stdout);
	if (e->unreplied > shown_flows)
		printf("  ... and %llu more\n",
		       (unsigned long long)(e->unreplied - shown_flows));
}

/* The signature of a keep prefix that is too wide, and what helps. */
static void print_hint(const struct explain *e)
{
	int plen = e->dest.family == 4 ? 32 : 128;
	char dest[CIDR_STRLEN];

	if (!e->kept_unreplied)
		return;
	addr_format(&e->dest, dest, sizeof(dest));
	printf("\n  %sKept, sent, never answered%s: the far side saw pod addresses, and has no route\n"
	       "  back to them or refuses them.",
	       color_red(stdout), color_off(stdout));
	if (is_translated(e))
		printf(" The policy masquerades now: each of these\n"
		       "  heals with its next try from the pod.\n");
	else
		printf(" To let them leave as the node:\n"
		       "    masqbpf cidr add %s/%d --masquerade   (or the whole range there)\n",
		       dest, plen);
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
	if (find_uplink(&e) || ask(&e) || count_flows(&e)) {
		result = CMD_FAILED;
		goto out;
	}
	if (!is_fixed(e.answer.reason))
		find_before(&e);
	if (line->json) {
		print_json(&e);
	} else {
		print_headline(&e);
		print_why(&e);
		print_before(&e);
		print_seen(&e);
		print_flows(&e);
		print_samples(&e);
		print_hint(&e);
	}
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
