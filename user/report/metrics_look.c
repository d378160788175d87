// SPDX-License-Identifier: GPL-2.0-only
/*
 * metrics_look.c - the state around the maps as a process finds it that has
 * not been there before. The agent knows it and needs none of this.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "kernel/netdev.h"
#include "plane/hook.h"
#include "plane/node.h"
#include "policy/read.h"
#include "report/findings.h"
#include "report/rules.h"
#include "report/drift.h"
#include "report/due.h"
#include "report/metrics.h"

static int look_at_config(struct instance *instance,
			  struct metrics_state *state)
{
	struct policy *policy;
	enum config_look look;
	char why[768];
	int ret = policy_read(instance, &policy);

	if (ret)
		return ret == -ENODATA ? 0 : ret;
	state->reload_time = policy->head.applied_ns / 1000000000ULL;
	look = config_look(instance, policy, why, sizeof(why));
	state->reload_ok = look == CONFIG_SAME || look == CONFIG_CHANGED;
	state->stale = look != CONFIG_SAME;
	ret = verdict_maps(&state->own, instance, policy);
	state->verdict = &state->own;
	policy_free(policy);
	return ret;
}

static int look_at_uplinks(struct instance *instance,
			   struct metrics_state *state)
{
	struct metrics_uplink *uplinks = NULL;
	struct netdev *netdev = NULL;
	uint32_t *ifindexes = NULL;
	size_t count = 0;
	int err;

	if (instance_is_elsewhere(instance))
		return instance_say_elsewhere(instance);
	err = netdev_read(&netdev)
		      ?: node_uplinks(instance, &ifindexes, &count);
	if (err)
		goto out;
	uplinks = calloc(count + 1, sizeof(*uplinks));
	if (!uplinks) {
		err = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_link *link =
			netdev_by_index(netdev, ifindexes[i]);
		struct hook_set set;

		uplinks[i].hook = "none";
		if (!link) {
			struct masq_iface iface;

			if (node_uplink(instance, ifindexes[i], &iface) > 0)
				snprintf(uplinks[i].name,
					 sizeof(uplinks[i].name), "%.*s",
					 (int)sizeof(iface.name), iface.name);
			continue;
		}
		snprintf(uplinks[i].name, sizeof(uplinks[i].name), "%s",
			 link->name);
		err = hook_find(instance, link, &set);
		uplinks[i].attached = !err && hook_set_whole(&set);
		if (!err && hook_set_kind(&set) != HOOK_AUTO)
			uplinks[i].hook = hook_kind_name(hook_set_kind(&set));
	}
	state->uplinks = uplinks;
	state->uplink_count = count;
out:
	free(ifindexes);
	netdev_free(netdev);
	return err;
}

static int look_for_foreign(struct instance *instance,
			    struct metrics_state *state)
{
	struct doctor d = { .instance = instance };
	int err = policy_read(instance, &d.policy);

	if (err)
		return err == -ENODATA ? 0 : err;
	state->foreign_nat = rules_judge(&d, NULL);
	doctor_free_findings(&d);
	policy_free(d.policy);
	return 0;
}

static int look_for_due(const struct instance *instance,
			struct metrics_state *state)
{
	struct masq_due due;
	double seconds;

	for (int kind = 0; kind < MASQ_DUE_MAX; kind++)
		if (due_read(instance, kind, &due, &seconds))
			state->due |= 1U << kind;
	return 0;
}

static int look_at_fast(struct instance *instance, struct metrics_state *state)
{
	struct fastpath_view view = {};
	struct netdev *netdev = NULL;
	int err = 0;

	if (fastpath_is_on(instance))
		err = netdev_read(&netdev)
			      ?: fastpath_look(instance, netdev, &view);
	if (!fastpath_in_force(instance) && !*view.node)
		snprintf(view.node, sizeof(view.node), "off");
	fastpath_sum_up(&view, &state->own_fast);
	state->fast = &state->own_fast;
	free(view.links);
	netdev_free(netdev);
	return err;
}

void metrics_forget(struct metrics_state *state)
{
	verdict_free(&state->own);
	free((void *)state->uplinks);
}

int metrics_look(struct instance *instance, struct metrics_state *state)
{
	*state = (struct metrics_state){ .foreign_nat = -1 };
	return look_at_config(instance, state)
		       ?: look_at_uplinks(instance, state)
		       ?: look_for_due(instance, state)
		       ?: look_at_fast(instance, state)
		       ?: look_for_foreign(instance, state);
}
