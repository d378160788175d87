// SPDX-License-Identifier: GPL-2.0-only
/* scrape.c - read anew when that costs little enough. */
#include <string.h>
#include "agent/health.h"
#include "agent/scrape.h"

int agent_metrics(struct agent *a)
{
	uint64_t start = follow_now_ms();
	int err;

	if (a->metrics.prefixes &&
	    start - a->metrics_ms < SCRAPE_REUSE * a->metrics_cost_ms)
		return 0;
	metrics_free(&a->metrics);
	agent_renew(a);
	err = metrics_read(a->instance, &a->metrics);
	if (err)
		metrics_free(&a->metrics);
	a->metrics_ms = follow_now_ms();
	a->metrics_cost_ms = a->metrics_ms - start;
	return err;
}

static uint32_t due_bits(const struct agent *a)
{
	uint32_t bits = 0;

	for (int kind = 0; kind < MASQ_DUE_MAX; kind++)
		bits |= !!*a->due[kind] << kind;
	return bits;
}

void agent_metrics_state(struct agent *a, struct metrics_uplink *uplinks,
			 struct metrics_state *out)
{
	for (size_t i = 0; i < a->link_count; i++) {
		const struct agent_link *link = &a->links[i];

		memcpy(uplinks[i].name, link->name, sizeof(uplinks[i].name));
		uplinks[i].hook = link->kind == HOOK_AUTO
					  ? "none"
					  : hook_kind_name(link->kind);
		uplinks[i].attached = link->whole;
	}
	*out = (struct metrics_state){ .reload_ok = a->reload_ok,
				       .reload_time = a->reload_time,
				       .stale = a->stale,
				       .due = due_bits(a),
				       .verdict = agent_verdict(a),
				       .foreign_nat = a->foreign_count,
				       .uplinks = uplinks,
				       .uplink_count = a->link_count,
				       .fast = a->fast_known ? &a->fast
							     : NULL };
}
