// SPDX-License-Identifier: GPL-2.0-only
/* explain_print.c - the answer, in the order in which it is read. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include "base/color.h"
#include "base/json.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "base/table.h"
#include "base/units.h"
#include "base/words.h"
#include "cli/explain_print.h"
#include "cli/podname.h"
#include "plane/counters.h"
#include "policy/policy.h"

#define SHOWN  8 /* groups of flows */
#define INDENT 16 /* where values begin */

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

void explain_json(const struct explain *e)
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
	json_text(&j, "uplink_parent", *e->parent ? e->parent : NULL);
	json_array(&j, "ways");
	for (size_t i = 0; i < e->ways; i++) {
		json_object(&j, NULL);
		json_string(&j, "uplink", e->way[i].name);
		json_bool(&j, "attached", e->way[i].attached);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_bool(&j, "wrapped", e->wraps);
	json_text(&j, "stays",
		  !e->stays		    ? NULL
		  : e->stays == EXPLAIN_POD ? "pod"
					    : "node");
	json_text(&j, "no_route",
		  e->no_route ? no_route_text(e->no_route) : NULL);
	json_text(&j, "source_by",
		  explain_is_translated(e) ? source_by(e) : NULL);
	if (e->before) {
		const struct policy_entry *entry = explain_entry_before(e);

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

static void print_headline(const struct explain *e, FILE *out)
{
	const struct reason *reason = &reasons[e->answer.reason];
	const char *action = action_text(e), *color, *what;
	char text[CIDR_STRLEN];

	if (reason->drop) {
		color = color_red(stdout);
		what = reason->what;
	} else if (!strcmp(action, "masquerade")) {
		color = color_green(stdout);
		what = e->no_route
			       ? "would leave with the node's address, and has no way out"
			       : "leaves with the node's address";
	} else if (!strcmp(action, "keep")) {
		color = color_yellow(stdout);
		what = e->no_route
			       ? "would leave with the pod's own address, and has no way out"
			       : "leaves with the pod's own address";
	} else {
		color = color_bold(stdout);
		what = reason->what;
	}
	fprintf(out, "%s%s%s  %s%s%s%s  %s\n", color_bold(stdout),
		addr_format(&e->dest, text, sizeof(text)), color_off(stdout),
		color, action, reason->drop ? ", but dropped" : "",
		color_off(stdout), what);
	if (e->answer.reason && *reason->todo)
		fprintf(out, "  %-13s %s\n", reason->name, reason->todo);
}

/* What no policy decides: it does not pass any uplink. */
static void print_stays(const struct explain *e, FILE *out)
{
	char text[PODNAME_STRLEN];

	fprintf(out, "%s%s%s  %spass%s  ", color_bold(stdout),
		podname_beside(&e->dest, text, sizeof(text)), color_off(stdout),
		color_bold(stdout), color_off(stdout));
	if (e->stays == EXPLAIN_NODE)
		fprintf(out,
			"the node's own address: it does not leave the node\n");
	else if (e->stays == EXPLAIN_TAKEN)
		fprintf(out,
			"the node takes it for its own: it does not leave the node\n");
	else
		fprintf(out, "behind %s: it does not leave the node\n",
			shown(e->uplink));
}

static void print_why(const struct explain *e, FILE *out)
{
	struct timespec now;
	uint64_t applied = e->policy->head.applied_ns / 1000000000;
	char text[320];

	clock_gettime(CLOCK_REALTIME, &now);
	if (e->entry) {
		fprintf(out, "  %-13s %s%s\n", "prefix",
			cidr_format(&e->entry->cidr, text, sizeof(text)),
			e->entry->list == MASQ_L_DST ? "" : " (its source)");
		fprintf(out, "  %-13s %s\n", "origin",
			shown(policy_origin(e->policy, e->entry, text,
					    sizeof(text))));
	}
	fprintf(out, "  %-13s %u, in force for %s", "generation",
		e->answer.generation,
		human_age((uint64_t)now.tv_sec > applied ? now.tv_sec - applied
							 : 0,
			  text, sizeof(text)));
	if (e->entry && e->entry->since == e->answer.generation)
		fprintf(out, "; the prefix came with it");
	else if (e->entry)
		fprintf(out, "; the prefix since %u", e->entry->since);
	fputc('\n', out);
}

static void print_left_out(const struct explain *e, FILE *out)
{
	char text[CIDR_STRLEN];

	if (e->left_out)
		fprintf(out,
			"  %-13s %s%s, as all that host routes lead to here, is outside podCIDRs%s\n",
			"source", color_red(stdout),
			addr_format(&e->source, text, sizeof(text)),
			color_off(stdout));
}

static void print_before(const struct explain *e, FILE *out)
{
	const struct policy_entry *entry;
	struct timespec now;
	uint64_t changed = e->change.applied_ns / 1000000000;
	char text[CIDR_STRLEN];

	if (!e->before)
		return;
	entry = explain_entry_before(e);
	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(out, "  %-13s %s%s%s", "before", color_yellow(stdout),
		plan_action_name(e->was.action), color_off(stdout));
	if (entry)
		fprintf(out, " by %s",
			cidr_format(&entry->cidr, text, sizeof(text)));
	fprintf(out, ", in generation %u\n", e->before->head.generation);
	fprintf(out, "  %-13s %s ago by generation %u, %s: %s\n", "changed",
		human_age((uint64_t)now.tv_sec > changed ? now.tv_sec - changed
							 : 0,
			  text, sizeof(text)),
		e->change.change.generation, shown(e->change.who),
		shown(e->change.command));
}

static void print_unattached(FILE *out, const char *uplink)
{
	fprintf(out,
		"  %-13s %s%s is not attached: what leaves by it passes untouched%s\n",
		"uplink", color_red(stdout), shown(uplink), color_off(stdout));
}

static void print_wraps(FILE *out)
{
	fprintf(out,
		"  %-13s %sits route wraps it before our hook%s (ip route: encap): in there is the pod's own address\n",
		"uplink", color_red(stdout), color_off(stdout));
}

static void print_seen(const struct explain *e, FILE *out)
{
	bool keep = !strcmp(action_text(e), "keep");
	char text[CIDR_STRLEN], pool[POOL_STRLEN];

	if (e->pool && e->seen.family)
		fprintf(out, "  %-13s %s, this pod's of %s\n", "far side sees",
			addr_format(&e->seen, text, sizeof(text)),
			pool_format(e->pool, pool, sizeof(pool)));
	else if (e->pool && !e->no_route)
		fprintf(out, "  %-13s one of %s, of each pod always the same\n",
			"far side sees",
			pool_format(e->pool, pool, sizeof(pool)));
	else if (e->seen.family)
		fprintf(out, "  %-13s %s%s\n", "far side sees",
			addr_format(&e->seen, text, sizeof(text)),
			explain_is_translated(e) &&
					!strcmp(source_by(e), "uplink")
				? " (the uplink's: this kernel tells no route's source)"
				: "");
	else if (keep && !e->no_route)
		fprintf(out, "  %-13s the pod's address\n", "far side sees");
	if (keep && !e->no_route)
		fprintf(out,
			"  %-13s need a route to %s over there, and its firewalls' consent\n",
			"replies",
			e->seen.family
				? addr_format(&e->seen, text, sizeof(text))
				: "the pod");
	if (e->no_route)
		fprintf(out,
			"  %-13s %s%s%s%s%s: nothing of it leaves the node\n",
			"route", color_red(stdout), no_route_text(e->no_route),
			color_off(stdout), *e->device ? ", from " : "",
			shown(e->device));
	if (*e->parent && !e->no_route)
		fprintf(out, "  %-13s %s, by the hooks of %s, which it is on\n",
			"uplink", shown(e->uplink), shown(e->parent));
	if (e->wraps && explain_is_translated(e) && e->attached)
		print_wraps(out);
	if (e->ways && !e->no_route) {
		fprintf(out, "  %-13s", "ways");
		for (size_t i = 0; i < e->ways; i++)
			fprintf(out, "%s %s", i ? "," : "",
				shown(e->way[i].name));
		fprintf(out, ": each flow has one of them; above, by %s\n",
			shown(e->uplink));
	}
	for (size_t i = 0; i < e->ways && e->entry; i++)
		if (!e->way[i].attached && strcmp(e->way[i].name, e->uplink))
			print_unattached(out, e->way[i].name);
	/* where the policy has a say, it only has it on attached uplinks */
	if (e->entry && *e->uplink && !e->attached)
		print_unattached(out, e->uplink);
}

static void print_flows(const struct explain *e, FILE *out)
{
	uint64_t live = e->masqueraded + e->kept + e->inbound;
	const char *red = e->unreplied ? color_red(stdout) : "";
	const char *off = e->unreplied ? color_off(stdout) : "";

	fprintf(out, "  %-13s ", e->narrowed ? "such flows" : "live flows");
	if (!live) {
		fprintf(out, "none\n");
		return;
	}
	fprintf(out, "%llu masqueraded, %llu kept",
		(unsigned long long)e->masqueraded,
		(unsigned long long)e->kept);
	if (e->inbound)
		fprintf(out, ", %llu inbound", (unsigned long long)e->inbound);
	fprintf(out, ", %s%llu of %llu never answered%s\n", red,
		(unsigned long long)e->unreplied, (unsigned long long)live,
		off);
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
	if (explain_is_translated(e))
		printf(" The policy masquerades now: each of these\n"
		       "  heals with its next try from the pod.\n");
	else
		printf(" To let them leave as the node:\n"
		       "    masqbpf cidr add %s/%d --masquerade\n"
		       "    (or the whole range there)\n",
		       dest, plen);
}

void explain_print(const struct explain *e)
{
	struct words words;
	FILE *out = words_begin(&words);

	if (e->stays) {
		print_stays(e, out);
	} else {
		print_headline(e, out);
		print_left_out(e, out);
		print_why(e, out);
		print_before(e, out);
		print_seen(e, out);
	}
	print_flows(e, out);
	words_end(&words, stdout, INDENT);
	print_samples(e);
	print_hint(e);
}
