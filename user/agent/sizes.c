// SPDX-License-Identifier: GPL-2.0-only
/*
 * sizes.c - another table takes the memory of both for a while, which a node or
 * a container may not have: what runs is no worse for that.
 */
#include <errno.h>
#include "agent/due.h"
#include "agent/sizes.h"
#include "base/log.h"
#include "plane/fit.h"

/* It may take seconds of a processor, in vain: longer each time. */
#define FIRST_MS 10000
#define LAST_MS	 600000

void agent_sizes_note(struct agent *a)
{
	if (a->unfit)
		agent_due(a, MASQ_DUE_CONFIG,
			  "sizes and programs are not as wanted, for others "
			  "were refused: those that there are stay");
	else
		agent_done(a, MASQ_DUE_CONFIG);
}

static void judge(struct agent *a, int err)
{
	bool was_unfit = a->unfit;

	a->unfit = err < 0;
	a->fit_wait_ms = was_unfit ? 2 * a->fit_wait_ms : FIRST_MS;
	if (a->fit_wait_ms > LAST_MS)
		a->fit_wait_ms = LAST_MS;
	a->fit_due_ms = a->unfit ? follow_now_ms() + a->fit_wait_ms
				 : UINT64_MAX;
	if (a->unfit && !was_unfit)
		log_warn("%s: sizes and programs stay as they are: tried "
			 "again later",
			 a->instance->pin_dir);
}

void agent_sizes_begin(struct agent *a)
{
	judge(a,
	      a->instance->is_new ? 0 : instance_fit(a->instance, &a->sizes));
}

int agent_sizes_fit(struct agent *a, const struct config *config)
{
	/* of prefixes as many as there are: apply.c sees to more */
	a->sizes.max_prefixes = 0;
	a->sizes.configured = true;
	a->sizes.max_flows = config->max_flows;
	a->sizes.ipv6 = config->ipv6;
	a->sizes.no_flow_counts = !config->flow_counters;
	judge(a, instance_want(a->instance, &a->sizes));
	return a->unfit ? agent_renew_now(a) : 0;
}

void agent_sizes_want(struct agent *a)
{
	if (a->unfit && follow_now_ms() < a->fit_due_ms)
		return;
	judge(a, instance_want(a->instance, &a->sizes));
	/* there is one word for what is due of a config: a policy comes first */
	if (a->again == AGAIN_NOTHING)
		agent_sizes_note(a);
}

void agent_sizes_again(struct agent *a)
{
	if (!a->unfit || !a->has_policy || follow_now_ms() < a->fit_due_ms)
		return;
	if (agent_lock(a)) {
		judge(a, -EBUSY);
		return;
	}
	agent_sizes_want(a);
	instance_unlock(a->instance);
}
