// SPDX-License-Identifier: GPL-2.0-only
/* compare.c - prefix by prefix, setting by setting, range by range. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/compare.h"
#include "policy/flips.h"

/* An entry by itself, whatever the other settings make of it. */
static struct plan_treatment entry_treatment(const struct policy *policy,
					     const struct policy_entry *entry)
{
	struct plan_treatment t = { .action = PLAN_POLICY };

	if (entry->list == MASQ_L_DST)
		t = treat_dest(policy, entry, 0);
	else if (entry->list == MASQ_L_KEEP_SOURCE)
		t.action = PLAN_KEEP;
	return t;
}

static int find_changes(struct plan *plan)
{
	const struct policy *from = plan->from, *to = plan->to;
	size_t i = 0, k = 0;

	plan->changes =
		calloc(from->count + to->count + 1, sizeof(*plan->changes));
	if (!plan->changes)
		return -ENOMEM;
	while (i < from->count || k < to->count) {
		int order = i == from->count ? 1
			    : k == to->count
				    ? -1
				    : policy_compare_place(&from->entries[i],
							   &to->entries[k]);
		struct plan_change *change = &plan->changes[plan->change_count];

		*change = (struct plan_change){};
		if (order <= 0) {
			change->from = &from->entries[i++];
			change->was = entry_treatment(from, change->from);
		}
		if (order >= 0) {
			change->to = &to->entries[k++];
			change->becomes = entry_treatment(to, change->to);
		}
		if (order || !treatment_same(&change->was, &change->becomes))
			plan->change_count++;
	}
	return 0;
}

void plan_set(struct plan *plan, const char *name, const char *from,
	      const char *to)
{
	struct plan_setting *setting = &plan->settings[plan->setting_count];

	if (!strcmp(from, to) || plan->setting_count == PLAN_MAX_SETTINGS)
		return;
	setting->name = name;
	snprintf(setting->from, sizeof(setting->from), "%s", from);
	snprintf(setting->to, sizeof(setting->to), "%s", to);
	plan->setting_count++;
}

static const char *range_text(uint16_t min, uint16_t max, char buf[32])
{
	snprintf(buf, 32, min ? "%u-%u" : "none", min, max);
	return buf;
}

/*
 * A timeout is a whole number of ticks, rounded up (a tick is up to 0.16 s):
 * whole seconds within the last of them are what the config says.
 */
static void timeout_text(const struct instance *instance, uint32_t ticks,
			 char buf[32])
{
	double seconds = ticks_to_seconds(instance, ticks);
	double below = ticks_to_seconds(instance, ticks - 1);

	if ((uint64_t)seconds > below)
		snprintf(buf, 32, "%llus", (unsigned long long)seconds);
	else
		snprintf(buf, 32, "%.1fs", seconds);
}

static void find_settings(struct plan *plan, const struct instance *instance)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} flags[] = {
		{ "enableIPv6", MASQ_P_IPV6 },
		{ "dropForeignSources", MASQ_P_DROP_FOREIGN },
		{ "snat.rejectTCP", MASQ_P_REJECT_TCP },
		{ "snat.strictPorts", MASQ_P_STRICT_PORTS },
	};
	static const char *const timeouts[MASQ_T_MAX] = {
		[MASQ_T_TCP_ESTABLISHED] = "timeouts.tcpEstablished",
		[MASQ_T_TCP_TRANSITORY] = "timeouts.tcpTransitory",
		[MASQ_T_UDP] = "timeouts.udp",
		[MASQ_T_UDP_UNREPLIED] = "timeouts.udpUnreplied",
		[MASQ_T_ICMP] = "timeouts.icmp",
		[MASQ_T_OTHER] = "timeouts.other",
	};
	const struct masq_policy *a = &plan->from->head, *b = &plan->to->head;
	char from[32], to[32];

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		plan_set(plan, flags[i].name,
			 a->flags & flags[i].flag ? "true" : "false",
			 b->flags & flags[i].flag ? "true" : "false");
	plan_set(plan, "snat.portRange",
		 range_text(a->port_min, a->port_max, from),
		 range_text(b->port_min, b->port_max, to));
	plan_set(plan, "snat.nodePortRange",
		 range_text(a->node_port_min, a->node_port_max, from),
		 range_text(b->node_port_min, b->node_port_max, to));
	for (int i = 0; i < MASQ_T_MAX; i++) {
		if (a->timeout[i] == b->timeout[i])
			continue;
		timeout_text(instance, a->timeout[i], from);
		timeout_text(instance, b->timeout[i], to);
		plan_set(plan, timeouts[i], from, to);
	}
	snprintf(from, sizeof(from), "%u", a->max_flows_per_pod);
	snprintf(to, sizeof(to), "%u", b->max_flows_per_pod);
	plan_set(plan, "maxFlowsPerPod", from, to);
	snprintf(from, sizeof(from), "%u", a->max_flows);
	snprintf(to, sizeof(to), "%u", b->max_flows);
	plan_set(plan, "maxFlows", from, to);
}

int plan_make(const struct instance *instance, struct policy *from,
	      struct policy *to, struct plan **out)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	int err;

	if (!plan)
		return -ENOMEM;
	plan->from = from;
	plan->to = to;
	err = find_changes(plan) ?: flips_find(plan, false) ?:
	      flips_find(plan, true);
	if (err) {
		plan_free(plan);
		return err;
	}
	find_settings(plan, instance);
	*out = plan;
	return 0;
}
