// SPDX-License-Identifier: GPL-2.0-only
/* live.c - few pods, many flows. */
#include <errno.h>
#include <stdlib.h>
#include "policy/live.h"

/* The flip that an address lies in; -1: none. */
static ssize_t find_flip(const struct plan_flips *flips,
			 const struct addr *addr)
{
	struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };
	size_t low = 0, high = flips->count;

	/* the last one that does not begin behind the address */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cidr_cmp(&flips->items[middle].range, &host) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || !cidr_covers(&flips->items[low - 1].range, &host))
		return -1;
	return low - 1;
}

static int add_hit(struct plan *plan, uint32_t flip, const struct addr *pod)
{
	const struct plan_hit *last =
		plan->hit_count ? &plan->hits[plan->hit_count - 1] : NULL;

	/* most of what is many comes from one pod to one range */
	if (last && last->flip == flip && addr_equal(&last->pod, pod))
		return 0;
	if (!(plan->hit_count & (plan->hit_count - 1))) {
		size_t room = plan->hit_count ? 2 * plan->hit_count : 1;
		void *hits =
			reallocarray(plan->hits, room, sizeof(*plan->hits));

		if (!hits)
			return -ENOMEM;
		plan->hits = hits;
	}
	plan->hits[plan->hit_count++] = (struct plan_hit){ flip, *pod };
	return 0;
}

static const struct addr no_addr;

/* A node has few pods and many flows, and to ask for a source is slow. */
static const struct plan_source *source_of(struct plan *plan,
					   const struct addr *pod)
{
	uint32_t hash = (pod->a[0] ^ pod->a[2] ^ pod->a[3]) * 0x9e3779b1;
	struct plan_source *s = &plan->asked[hash >> (32 - PLAN_ASKED_BITS)];

	if (addr_equal(&s->pod, pod))
		return s;
	*s = (struct plan_source){ *pod, treat_source(plan->from, pod),
				   treat_source(plan->to, pod) };
	return s;
}

bool plan_flow_flips(struct plan *plan, const struct flow *flow,
		     struct plan_flow *out)
{
	const struct plan_source *pod;
	uint8_t family = flow->rem.family;

	if (flow->kind == MASQ_K_INBOUND || flow->role != MASQ_ROLE_FLOW)
		return false;
	out->dest = find_flip(&plan->dests, &flow->rem);
	out->source = find_flip(&plan->sources, &flow->in);
	if (out->dest < 0 && out->source < 0)
		return false;
	if (out->dest >= 0) {
		out->from = plan->dests.items[out->dest].from;
		out->to = plan->dests.items[out->dest].to;
	} else {
		out->from = plan_treat(plan->from, &no_addr, &flow->rem);
		out->to = plan_treat(plan->to, &no_addr, &flow->rem);
	}
	pod = source_of(plan, &flow->in);
	out->from = treat_both(plan->from, &pod->from, &out->from, family);
	out->to = treat_both(plan->to, &pod->to, &out->to, family);
	return !treatment_same(&out->from, &out->to);
}

int plan_add_flow(struct plan *plan, const struct flow *flow)
{
	struct plan_flow f;
	int err = 0;

	if (!plan_flow_flips(plan, flow, &f))
		return 0;
	if (f.dest >= 0) {
		plan->dests.items[f.dest].live_flows++;
		err = add_hit(plan, f.dest, &flow->in);
	}
	if (!err && f.source >= 0) {
		plan->sources.items[f.source].live_flows++;
		/* numbered behind the destinations' */
		err = add_hit(plan, plan->dests.count + f.source, &flow->in);
	}
	return err;
}

static int compare_hits(const void *a, const void *b)
{
	const struct plan_hit *x = a, *y = b;

	if (x->flip != y->flip)
		return x->flip < y->flip ? -1 : 1;
	return addr_cmp(&x->pod, &y->pod);
}

void plan_collect_pods(struct plan *plan)
{
	size_t kept = 0;

	if (plan->hit_count) /* else hits is NULL, which qsort may not get */
		qsort(plan->hits, plan->hit_count, sizeof(*plan->hits),
		      compare_hits);
	for (size_t i = 0; i < plan->hit_count; i++)
		if (!kept ||
		    compare_hits(&plan->hits[kept - 1], &plan->hits[i]))
			plan->hits[kept++] = plan->hits[i];
	plan->hit_count = kept;
	for (size_t i = 0; i < kept; i++) {
		size_t n = plan->hits[i].flip;
		struct plan_flip *flip =
			n < plan->dests.count
				? &plan->dests.items[n]
				: &plan->sources.items[n - plan->dests.count];

		if (!flip->pod_count++)
			flip->pods = &plan->hits[i];
	}
}
