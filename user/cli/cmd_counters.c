// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_counters.c - `masqbpf counters`: what each prefix did, and why packets
 * were dropped or passed without translation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/color.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/table.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "plane/counters.h"
#include "plane/flows.h"
#include "policy/policy.h"

/* A line: a prefix in force, or one that is gone but still has flows. */
struct row {
	struct policy_entry entry;
	bool in_policy;
	uint32_t live;
	struct masq_prefix_count count;
};

struct report {
	struct instance *instance;
	struct policy *policy;
	struct row *rows;
	size_t count;
	uint64_t stats[MASQ_S_MAX];
};

static int compare_rows(const void *va, const void *vb)
{
	const struct policy_entry *a = &((const struct row *)va)->entry;
	const struct policy_entry *b = &((const struct row *)vb)->entry;
	int order = cidr_cmp(&a->cidr, &b->cidr);

	return order ?: a->list - b->list ?: a->action - b->action;
}

/* A slot that has left the policy still tells what it was. */
static struct policy_entry removed_entry(const struct masq_prefix *prefix,
					 uint32_t slot)
{
	const struct masq_prefix_half *last =
		&prefix->half[prefix->half[1].since > prefix->half[0].since];

	return (struct policy_entry){ .cidr = prefix_cidr(prefix),
				      .list = prefix->list,
				      .action = prefix->action,
				      .origin = last->origin,
				      .line = last->line,
				      .since = last->since,
				      .slot = slot };
}

static int collect(struct report *r)
{
	uint32_t max = r->instance->meta.max_prefixes;
	uint32_t *live = calloc(max, sizeof(*live));
	bool *known = calloc(max, sizeof(*known));
	int err = -ENOMEM;

	r->rows = calloc(max, sizeof(*r->rows));
	if (!live || !known || !r->rows)
		goto out;
	err = flows_count_prefixes(r->instance, live)
		      ?: counters_stats(r->instance, r->stats);
	if (err)
		goto out;

	for (size_t i = 0; i < r->policy->count; i++) {
		const struct policy_entry *entry = &r->policy->entries[i];

		known[entry->slot] = true;
		/* podCIDRs decide who is a pod, not what happens to it */
		if (entry->list != MASQ_L_POD)
			r->rows[r->count++] =
				(struct row){ *entry, .in_policy = true };
	}
	for (uint32_t slot = 0; slot < max; slot++) {
		const struct masq_prefix *prefix = &r->instance->prefixes[slot];

		if (live[slot] && !known[slot] && prefix->list != MASQ_L_FREE)
			r->rows[r->count++].entry = removed_entry(prefix, slot);
	}
	for (size_t i = 0; i < r->count && !err; i++) {
		uint32_t slot = r->rows[i].entry.slot;

		r->rows[i].live = live[slot];
		err = counters_prefix(r->instance, slot, &r->rows[i].count);
	}
	qsort(r->rows, r->count, sizeof(*r->rows), compare_rows);
out:
	free(live);
	free(known);
	if (err)
		log_error("counters: %s", strerror(-err));
	return err;
}

static void json_reasons(struct json *j, const char *key, bool drop,
			 const uint64_t *stats)
{
	json_object(j, key);
	for (int i = MASQ_R_NONE + 1; i < MASQ_R_MAX; i++)
		if (reasons[i].drop == drop)
			json_u64(j, reasons[i].name, stats[i]);
	json_object_end(j);
}

static void print_json(const struct report *r)
{
	char text[320];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", r->policy->head.generation);
	json_array(&j, "prefixes");
	for (size_t i = 0; i < r->count; i++) {
		const struct row *row = &r->rows[i];

		json_object(&j, NULL);
		json_string(&j, "prefix",
			    cidr_format(&row->entry.cidr, text, sizeof(text)));
		json_string(&j, "action", action_name(row->entry.action));
		json_string(&j, "list",
			    row->entry.list == MASQ_L_DST ? "destination"
							  : "source");
		json_string(&j, "origin",
			    policy_origin(r->policy, &row->entry, text,
					  sizeof(text)));
		json_bool(&j, "in_policy", row->in_policy);
		json_count(&j, "egress", &row->count.egress);
		json_count(&j, "ingress", &row->count.ingress);
		json_u64(&j, "flows_total", row->count.flows);
		json_u64(&j, "flows_live", row->live);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_reasons(&j, "drops", true, r->stats);
	json_reasons(&j, "passes", false, r->stats);
	json_object_end(&j);
	json_end(&j);
}

static void print_prefixes(const struct report *r)
{
	static const char *const headers[] = {
		"PREFIX", "ACTION", ">OUT PKTS", ">OUT",   ">IN PKTS",
		">IN",	  ">FLOWS", ">LIVE",	 "ORIGIN", NULL
	};
	struct table *t = table_new(headers);
	char text[320];

	for (size_t i = 0; i < r->count; i++) {
		const struct row *row = &r->rows[i];
		const struct masq_prefix_count *count = &row->count;

		table_cell(t, "%s",
			   cidr_format(&row->entry.cidr, text, sizeof(text)));
		table_cell(t, "%s%s", action_name(row->entry.action),
			   row->entry.list == MASQ_L_DST ? "" : " source");
		if (row->entry.action == MASQ_KEEP)
			table_color(t, color_yellow(stdout));
		table_cell(t, "%s",
			   human_count(count->egress.packets, text,
				       sizeof(text)));
		table_cell(t, "%s",
			   human_bytes(count->egress.bytes, text,
				       sizeof(text)));
		table_cell(t, "%s",
			   human_count(count->ingress.packets, text,
				       sizeof(text)));
		table_cell(t, "%s",
			   human_bytes(count->ingress.bytes, text,
				       sizeof(text)));
		table_cell(t, "%s",
			   human_count(count->flows, text, sizeof(text)));
		table_cell(t, "%u", row->live);
		table_cell(t, "%s%s%s", row->in_policy ? "" : "removed, was ",
			   policy_origin(r->policy, &row->entry, text,
					 sizeof(text)),
			   policy_off_note(r->policy, &row->entry));
		table_row_end(t);
	}
	table_print(t, stdout);
}

/* Only what happened: two dozen zeros hide the one that matters. */
static void print_reasons(const char *title, bool drop, const uint64_t *stats)
{
	const char *headers[] = { title, ">PACKETS", "MEANING", NULL };
	struct table *t = NULL;
	char text[32];

	for (int i = MASQ_R_NONE + 1; i < MASQ_R_MAX; i++) {
		if (reasons[i].drop != drop || !stats[i])
			continue;
		t = t ?: table_new(headers);
		table_cell(t, "%s", reasons[i].name);
		table_cell(t, "%s", human_count(stats[i], text, sizeof(text)));
		table_cell(t, "%s%s%s", reasons[i].what,
			   *reasons[i].todo ? ": " : "", reasons[i].todo);
		table_row_end(t);
	}
	if (t) {
		putchar('\n');
		table_print(t, stdout);
	}
}

static int run(const struct cmd_line *line)
{
	struct report r = {};
	int result =
		cmd_open_policy(line, INSTANCE_READ, &r.instance, &r.policy);

	if (!result && collect(&r))
		result = CMD_FAILED;
	if (!result && line->json) {
		print_json(&r);
	} else if (!result) {
		print_prefixes(&r);
		print_reasons("DROPPED", true, r.stats);
		print_reasons("PASSED", false, r.stats);
	}
	free(r.rows);
	policy_free(r.policy);
	instance_close(r.instance);
	return result;
}

const struct cmd cmd_counters = {
	.name = "counters",
	.args = "",
	.help = "packets, bytes and flows of each prefix; drops by reason",
	.run = run,
};
