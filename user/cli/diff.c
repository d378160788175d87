// SPDX-License-Identifier: GPL-2.0-only
/* diff.c - prefix by prefix, then range by range. */
#include <string.h>
#include "base/prefix.h"
#include "base/safe.h"
#include "cli/diff.h"
#include "kernel/podname.h"

static const char *action_text(const struct policy_entry *entry,
			       const struct plan_treatment *treatment,
			       char *buf, size_t len)
{
	if (entry->list == MASQ_L_POD)
		snprintf(buf, len, "pods");
	else if (entry->list == MASQ_L_KEEP_SOURCE)
		snprintf(buf, len, "keep source");
	else
		plan_treatment_text(treatment, buf, len);
	return buf;
}

static void print_change(FILE *file, const struct plan *plan,
			 const struct plan_change *change)
{
	const struct policy_entry *any = change->to ?: change->from;
	char cidr[CIDR_STRLEN],
		was[CIDR_STRLEN + 16] = "", becomes[CIDR_STRLEN + 16] = "",
				  origin[320];

	if (change->from)
		action_text(any, &change->was, was, sizeof(was));
	if (change->to)
		action_text(any, &change->becomes, becomes, sizeof(becomes));
	fprintf(file, "%c %-20s %s%s%s  (%s)\n",
		!change->from ? '+'
		: !change->to ? '-'
			      : '~',
		cidr_format(&any->cidr, cidr, sizeof(cidr)), was,
		change->from && change->to ? " -> " : "", becomes,
		shown(policy_origin(change->to ? plan->to : plan->from, any,
				    origin, sizeof(origin))));
}

static void print_flips(FILE *file, const struct plan_flips *flips,
			const char *what, size_t max)
{
	char cidr[CIDR_STRLEN], from[CIDR_STRLEN + 16], to[CIDR_STRLEN + 16];
	char pod[PODNAME_STRLEN];

	for (size_t i = 0; i < flips->count && (!max || i < max); i++) {
		const struct plan_flip *flip = &flips->items[i];

		fprintf(file, "  %s%-20s %s -> %s", what,
			cidr_format(&flip->range, cidr, sizeof(cidr)),
			plan_treatment_text(&flip->from, from, sizeof(from)),
			plan_treatment_text(&flip->to, to, sizeof(to)));
		if (flip->live_flows)
			fprintf(file, "  %llu live flow%s",
				(unsigned long long)flip->live_flows,
				flip->live_flows == 1 ? "" : "s");
		for (size_t k = 0; k < flip->pod_count && k < 3; k++)
			fprintf(file, "%s%s", k ? ", " : " of ",
				podname_beside(&flip->pods[k].pod, pod,
					       sizeof(pod)));
		if (flip->pod_count > 3)
			fprintf(file, " and %zu more", flip->pod_count - 3);
		fprintf(file, "\n");
	}
	if (max && flips->count > max)
		fprintf(file, "  and %zu more ranges\n", flips->count - max);
}

void diff_print(FILE *file, const struct plan *plan, size_t max)
{
	for (size_t i = 0; i < plan->change_count && (!max || i < max); i++)
		print_change(file, plan, &plan->changes[i]);
	if (max && plan->change_count > max)
		fprintf(file, "and %zu more prefixes\n",
			plan->change_count - max);
	for (size_t i = 0; i < plan->setting_count; i++)
		fprintf(file, "~ %-20s %s -> %s\n", plan->settings[i].name,
			plan->settings[i].from, plan->settings[i].to);
	if (plan->dests.count + plan->sources.count)
		fprintf(file, "flips:\n");
	print_flips(file, &plan->dests, "", max);
	print_flips(file, &plan->sources, "pods ", max);
}

static void json_action(struct json *j, const char *key,
			const struct policy_entry *entry,
			const struct plan_treatment *treatment)
{
	char text[CIDR_STRLEN + 16];

	if (entry)
		json_string(j, key,
			    action_text(entry, treatment, text, sizeof(text)));
	else
		json_null(j, key);
}

static void json_flips(struct json *j, const char *key,
		       const struct plan_flips *flips)
{
	char text[CIDR_STRLEN + 16];

	json_array(j, key);
	for (size_t i = 0; i < flips->count; i++) {
		const struct plan_flip *flip = &flips->items[i];

		json_object(j, NULL);
		json_string(j, "range",
			    cidr_format(&flip->range, text, sizeof(text)));
		json_string(j, "from",
			    plan_treatment_text(&flip->from, text,
						sizeof(text)));
		json_string(j, "to",
			    plan_treatment_text(&flip->to, text, sizeof(text)));
		json_object_end(j);
	}
	json_array_end(j);
}

void diff_json(struct json *j, const struct plan *plan)
{
	char text[CIDR_STRLEN];

	json_array(j, "changes");
	for (size_t i = 0; i < plan->change_count; i++) {
		const struct plan_change *change = &plan->changes[i];
		const struct policy_entry *any = change->to ?: change->from;

		json_object(j, NULL);
		json_string(j, "prefix",
			    cidr_format(&any->cidr, text, sizeof(text)));
		json_action(j, "from", change->from, &change->was);
		json_action(j, "to", change->to, &change->becomes);
		json_object_end(j);
	}
	json_array_end(j);
	json_flips(j, "flips", &plan->dests);
	json_flips(j, "source_flips", &plan->sources);
}
