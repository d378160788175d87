// SPDX-License-Identifier: GPL-2.0-only
/* plan_json.c - a plan as JSON: of `plan`, and of what is a dry run. */
#include <stdio.h>
#include "base/json.h"
#include "base/prefix.h"
#include "cli/plan_json.h"
#include "cli/podname.h"

/* What an entry is for; a contract word for destinations. */
static const char *list_action(const struct policy_entry *entry)
{
	return entry->list == MASQ_L_POD ? "pod" : action_name(entry->action);
}

static const char *list_name(uint8_t list)
{
	static const char *const names[] = {
		[MASQ_L_DST] = "destination",
		[MASQ_L_POD] = "podCIDRs",
		[MASQ_L_KEEP_SOURCE] = "nonMasqueradeSrcCIDRs",
	};

	return names[list];
}

static void json_entry(struct json *j, const char *key,
		       const struct policy_entry *entry)
{
	if (entry)
		json_string(j, key, list_action(entry));
	else
		json_null(j, key);
}

static void json_source(struct json *j, const char *key,
			const struct plan_treatment *treatment)
{
	char text[POOL_STRLEN];

	if (treatment->snat)
		json_string(j, key,
			    pool_format(treatment->snat, text, sizeof(text)));
}

static void json_flips(struct json *j, const char *key,
		       const struct plan_flips *flips, bool live)
{
	char text[CIDR_STRLEN];

	json_array(j, key);
	for (size_t i = 0; i < flips->count; i++) {
		const struct plan_flip *flip = &flips->items[i];

		json_object(j, NULL);
		json_string(j, "range",
			    cidr_format(&flip->range, text, sizeof(text)));
		json_string(j, "from", plan_action_name(flip->from.action));
		json_source(j, "from_source", &flip->from);
		json_string(j, "to", plan_action_name(flip->to.action));
		json_source(j, "to_source", &flip->to);
		if (live)
			json_u64(j, "live_flows", flip->live_flows);
		else
			json_null(j, "live_flows");
		json_array(j, "pods");
		for (size_t k = 0; k < flip->pod_count; k++)
			json_string(j, NULL,
				    addr_format(&flip->pods[k].pod, text,
						sizeof(text)));
		json_array_end(j);
		json_array(j, "pod_names");
		for (size_t k = 0; k < flip->pod_count; k++)
			podname_json(j, NULL, &flip->pods[k].pod);
		json_array_end(j);
		json_object_end(j);
	}
	json_array_end(j);
}

void plan_json(const struct plan *plan, bool live,
	       const struct plan_probe *probe)
{
	char text[CIDR_STRLEN];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "changes");
	for (size_t i = 0; i < plan->change_count; i++) {
		const struct plan_change *change = &plan->changes[i];
		const struct policy_entry *any = change->to ?: change->from;

		json_object(&j, NULL);
		json_string(&j, "prefix",
			    cidr_format(&any->cidr, text, sizeof(text)));
		json_entry(&j, "from", change->from);
		json_source(&j, "from_source", &change->was);
		json_entry(&j, "to", change->to);
		json_source(&j, "to_source", &change->becomes);
		json_string(&j, "list", list_name(any->list));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_flips(&j, "flips", &plan->dests, live);
	json_flips(&j, "source_flips", &plan->sources, live);
	if (probe)
		plan_probe_json(probe, &j);
	json_array(&j, "settings");
	for (size_t i = 0; i < plan->setting_count; i++) {
		json_object(&j, NULL);
		json_string(&j, "name", plan->settings[i].name);
		json_string(&j, "from", plan->settings[i].from);
		json_string(&j, "to", plan->settings[i].to);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_array(&j, "warnings");
	for (size_t i = 0; i < plan->warning_count; i++)
		json_string(&j, NULL, plan->warnings[i]);
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j);
}
