// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_plan.c - `masqbpf plan FILE`: what applying FILE would change. With
 * --against FILE it is two files side by side, without privileges or a node.
 */
#include <errno.h>
#include <string.h>
#include "base/color.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "base/table.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/plan_json.h"
#include "cli/plan_probe.h"
#include "cli/podname.h"
#include "config/config.h"
#include "policy/compare.h"
#include "policy/judge.h"
#include "policy/live.h"
#include "policy/plan.h"
#include "policy/read.h"

/* Pods that a line names before it only counts them. */
#define NAMED_PODS 3
/* Ranges without live flows that a person is shown; --json has them all. */
#define SHOWN_DESTS   64
#define SHOWN_SOURCES 4

struct comparison {
	const char *file;
	const char *against; /* NULL: what runs */
	struct config *config;
	struct instance *instance; /* of what runs */
	struct policy *from, *to;
	bool counted; /* flowCounters of `from` */
	struct plan *plan;
	struct plan_probe *probe; /* NULL: not asked for */
};

/* --- gathering --------------------------------------------------------- */

static int load_config(const char *file, struct config **out)
{
	const struct config_options options = {};
	char text[CONFIG_ERRLEN];
	int err = config_load(file, &options, out, text, sizeof(text));

	if (!err)
		return CMD_OK;
	log_errors(text);
	return err == -ENOMEM ? CMD_FAILED : CMD_USAGE;
}

/* No node is asked: a clock that every kernel's ticks can be told in. */
static const struct instance *no_instance(const struct config *config)
{
	static struct instance nowhere = { .meta.hz = 1000 };

	nowhere.meta.max_flows = config->max_flows;
	return &nowhere;
}

static int read_file_policy(const char *file, struct policy **out,
			    bool *counted)
{
	struct config *config;
	int result = load_config(file, &config);

	if (result)
		return result;
	if (policy_from_config(no_instance(config), config, false, out))
		result = CMD_FAILED;
	*counted = config->flow_counters;
	config_free(config);
	return result;
}

static int read_running(const struct cmd_line *line, struct comparison *c)
{
	int err =
		instance_open(line->pin_dir, INSTANCE_READ, NULL, &c->instance);

	if (err == -ENOENT)
		log_error(
			"%s: plan: not attached; --against FILE compares two files",
			line->pin_dir);
	if (err)
		return CMD_FAILED;
	c->counted = !(c->instance->meta.features & MASQ_FEAT_NO_FLOW_COUNT);
	err = policy_read(c->instance, &c->from);
	if (err == -ENODATA)
		log_error(
			"%s: plan: no policy: an attach was interrupted; run it again",
			line->pin_dir);
	return err ? CMD_FAILED : CMD_OK;
}

/* What reload would refuse. */
static int check_replaces(const struct comparison *c)
{
	char text[1024];

	if (!c->instance || !config_may_replace(c->config, text, sizeof(text)))
		return CMD_OK;
	log_error("%s", text);
	return CMD_USAGE;
}

static int add_flow(void *data, const struct flow *flow)
{
	struct comparison *c = data;
	int err = plan_add_flow(c->plan, flow);

	return !err && c->probe ? plan_probe_add(c->probe, c->plan, flow) : err;
}

static int compare(struct comparison *c)
{
	const struct instance *clock = c->instance ?: no_instance(c->config);
	int err;

	/* what a policy is made for is what runs: reload changes it first */
	c->to->head.max_flows = c->config->max_flows;
	if (c->instance)
		c->from->head.max_flows = c->instance->meta.max_flows;
	err = plan_make(clock, c->from, c->to, &c->plan);
	if (!err)
		plan_set(c->plan, "flowCounters", c->counted ? "true" : "false",
			 c->config->flow_counters ? "true" : "false");
	if (!err && c->config->guard_action == GUARD_OFF)
		err = plan_warn(
			c->plan,
			"guard.action is off: no change of the agent is watched");
	for (size_t i = 0; i < c->config->warning_count && !err; i++)
		err = plan_warn(c->plan, "%s", c->config->warnings[i]);
	if (!err && c->instance &&
	    c->config->max_flows != c->instance->meta.max_flows)
		err = plan_warn(
			c->plan,
			"maxFlows becomes %u, was %u: the flows move into another table; none ends",
			c->config->max_flows, c->instance->meta.max_flows);
	if (!err && c->instance &&
	    (c->plan->dests.count || c->plan->sources.count))
		err = flows_walk_owners(c->instance, add_flow, c);
	err = err ?: plan_judge(c->plan);
	if (err)
		log_error("plan: %s: %s", c->file, strerror(-err));
	else if (c->probe)
		err = plan_probe_run(c->probe, c->instance, c->plan);
	return err ? CMD_FAILED : CMD_OK;
}

/* --- as text ----------------------------------------------------------- */

static void print_changes(const struct comparison *c)
{
	const struct plan *plan = c->plan;
	char prefix[CIDR_STRLEN], from[CIDR_STRLEN + 16], to[CIDR_STRLEN + 16];
	char origin[320];

	for (size_t i = 0; i < plan->change_count; i++) {
		const struct plan_change *change = &plan->changes[i];
		const struct policy_entry *any = change->to ?: change->from;
		const char *color = !change->from ? color_green(stdout)
				    : !change->to ? color_red(stdout)
						  : color_yellow(stdout);
		const char *was =
			plan_treatment_text(&change->was, from, sizeof(from));
		const char *becomes =
			plan_treatment_text(&change->becomes, to, sizeof(to));

		if (any->list == MASQ_L_POD)
			was = becomes = "pod";
		words_print(
			stdout, 4, "%s%c %-20s %s%s%s%s%s  (%s)\n", color,
			!change->from ? '+'
			: !change->to ? '-'
				      : '~',
			cidr_format(&any->cidr, prefix, sizeof(prefix)),
			change->from ? was : "",
			change->from && change->to ? " -> " : "",
			change->to ? becomes : "", color_off(stdout),
			any->list == MASQ_L_KEEP_SOURCE ? " as a source" : "",
			shown(policy_origin(change->to ? plan->to : plan->from,
					    any, origin, sizeof(origin))));
	}
	for (size_t i = 0; i < plan->setting_count; i++)
		printf("%s~ %-20s %s -> %s%s\n", color_yellow(stdout),
		       plan->settings[i].name, plan->settings[i].from,
		       plan->settings[i].to, color_off(stdout));
}

/* "1048576"; what has more than 9 digits as a power of two. */
static void cell_addresses(struct table *t, const struct cidr *range)
{
	int bits = (range->addr.family == 4 ? 32 : 128) - range->plen;

	if (bits < 30)
		table_cell(t, "%u", 1U << bits);
	else
		table_cell(t, "2^%d", bits);
}

static void cell_pods(struct table *t, const struct plan_flip *flip)
{
	char text[(NAMED_PODS + 1) * PODNAME_STRLEN] = "", pod[PODNAME_STRLEN];
	size_t used = 0, i = 0;

	for (; i < flip->pod_count && i < NAMED_PODS; i++)
		used += snprintf(
			text + used, sizeof(text) - used, "%s%s", i ? ", " : "",
			podname_beside(&flip->pods[i].pod, pod, sizeof(pod)));
	if (i < flip->pod_count)
		snprintf(text + used, sizeof(text) - used, " and %zu more",
			 flip->pod_count - i);
	table_cell(t, "%s", text);
}

/* Is there one that any packet meets? --json has the others, too. */
static bool any_effect(const struct plan_flips *flips)
{
	for (size_t i = 0; i < flips->count; i++)
		if (!cidr_no_effect(&flips->items[i].range))
			return true;
	return false;
}

static void print_flips(const struct comparison *c,
			const struct plan_flips *flips, const char *title,
			size_t shown)
{
	const char *const headers[] = { title,
					">ADDRESSES",
					"FROM",
					"TO",
					c->instance ? ">LIVE" : NULL,
					"PODS",
					NULL };
	char text[CIDR_STRLEN + 16];
	struct table *t;
	size_t more = 0;

	if (!any_effect(flips))
		return;
	t = table_new(headers);
	for (size_t i = 0; i < flips->count; i++) {
		const struct plan_flip *flip = &flips->items[i];

		if (flips == &c->plan->dests && cidr_no_effect(&flip->range))
			continue;
		if (i >= shown && !flip->live_flows) {
			more++;
			continue;
		}
		table_cell(t, "  %s",
			   cidr_format(&flip->range, text, sizeof(text)));
		cell_addresses(t, &flip->range);
		table_cell(t, "%s",
			   plan_treatment_text(&flip->from, text,
					       sizeof(text)));
		table_cell(t, "%s",
			   plan_treatment_text(&flip->to, text, sizeof(text)));
		if (c->instance) {
			table_cell(t, "%llu",
				   (unsigned long long)flip->live_flows);
			cell_pods(t, flip);
		}
		table_row_end(t);
	}
	putchar('\n');
	table_print(t, stdout);
	if (more)
		printf("  ... and %zu more without live flows (--json lists them)\n",
		       more);
}

static void print_text(const struct comparison *c)
{
	const struct plan *plan = c->plan;
	bool named = strcmp(c->file, "-");

	if (plan_is_empty(plan))
		printf("%s: nothing changes\n",
		       named ? shown(c->file) : "stdin");
	print_changes(c);
	if (!plan_is_empty(plan) && !any_effect(&plan->dests) &&
	    !any_effect(&plan->sources))
		printf("\nNo address is treated differently.\n");
	print_flips(c, &plan->dests, "  DESTINATIONS", SHOWN_DESTS);
	print_flips(c, &plan->sources, "  SOURCES", SHOWN_SOURCES);
	if (c->probe)
		plan_probe_text(c->probe);
	if (plan->warning_count)
		putchar('\n');
	for (size_t i = 0; i < plan->warning_count; i++)
		words_print(stdout, 4, "%swarning:%s %s\n",
			    color_yellow(stdout), color_off(stdout),
			    shown(plan->warnings[i]));
	if (c->instance && !plan_is_empty(plan))
		words_print(
			stdout, 0,
			"\nLive flows stay as they are; new connections change."
			" To apply: masqbpf reload --config %s\n",
			named ? shown(c->file) : "FILE");
}

static int run(const struct cmd_line *line)
{
	const char *against = cmd_value(line, "against");
	struct comparison c = { .file = line->argv[0] };
	int result;

	if (against && strcmp(against, "running"))
		c.against = against;
	if (c.against && cmd_flag(line, "probe"))
		return cmd_usage(line, "--probe: with --against running alone");
	/* the files first: a bad one is told before anything about the node */
	result = load_config(c.file, &c.config);
	if (!result)
		result = c.against ? read_file_policy(c.against, &c.from,
						      &c.counted)
				   : read_running(line, &c);
	if (!result)
		result = check_replaces(&c);
	if (!result && cmd_flag(line, "probe")) {
		if (instance_is_elsewhere(c.instance)) {
			instance_say_elsewhere(c.instance);
			result = CMD_FAILED;
		}
		/* what is begun is taken back: five seconds */
		cmd_uninterrupted();
		c.probe = plan_probe_new();
		if (!c.probe)
			result = CMD_FAILED;
	}
	if (!result && policy_from_config(c.instance ?: no_instance(c.config),
					  c.config, false, &c.to))
		result = CMD_FAILED;
	if (!result)
		result = compare(&c);
	if (result)
		goto out;
	if (line->json)
		plan_json(c.plan, c.instance, c.probe);
	else
		print_text(&c);
	/* other words for the same policy are no change */
	if (cmd_flag(line, "exit-code") &&
	    (c.plan->dests.count || c.plan->sources.count))
		result = CMD_CHANGES;
out:
	plan_probe_free(c.probe);
	plan_free(c.plan);
	policy_free(c.from);
	policy_free(c.to);
	config_free(c.config);
	instance_close(c.instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "against", "FILE|running", "compare with this (default: running)" },
	{ "probe", NULL,
	  "try what live flows' destinations would get, 20 at most" },
	{ "exit-code", NULL, "exit 3 when some address is treated otherwise" },
	{},
};

const struct cmd cmd_plan = {
	.name = "plan",
	.args = "FILE",
	.help = "what applying FILE would change, for whom",
	.min = 1,
	.max = 1,
	.options = options,
	.examples = "  masqbpf plan new.yaml               against what runs\n"
		    "  masqbpf plan new.yaml --probe       what would break?\n"
		    "  masqbpf plan new.yaml --against old.yaml --exit-code\n",
	.run = run,
};
