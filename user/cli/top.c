// SPDX-License-Identifier: GPL-2.0-only
/*
 * top.c - two looks and the difference. What a flow had counted at the last
 * look is kept by a 64-bit hash of its tuple; of the flows themselves only
 * the first ones by the key asked for, so a full table costs little memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "base/hash.h"
#include "base/prefix.h"
#include "cli/podname.h"
#include "cli/top.h"
#include "policy/read.h"
#include "plane/counters.h"
#include "plane/fit.h"
#include "plane/tally.h"

#define FLOW_ROWS 512

/* What one flow had counted. */
struct seen {
	uint64_t hash; /* 0: free */
	uint64_t out_bytes, in_bytes, packets;
};

struct seen_table {
	struct seen *slots;
	size_t mask, count;
};

struct top_past {
	double time;
	size_t slots; /* that there is room for */
	struct masq_prefix_count *prefixes; /* by slot */
	uint64_t stats[MASQ_S_MAX];
	struct seen_table flows;

	/* of the look that is being taken */
	struct seen_table next;
	uint64_t *live, *unreplied; /* by slot */
	uint32_t *pod_index; /* number + 1 into the pods, by hash */
	size_t pod_mask;
	size_t worst; /* of the flow rows */
};

/* --- flows ------------------------------------------------------------- */

static uint64_t hash_flow(const struct flow *flow)
{
	uint64_t h = HASH_BEGIN;

	h = hash_more(h, flow->in.a, sizeof(flow->in.a));
	h = hash_more(h, flow->rem.a, sizeof(flow->rem.a));
	h = hash_more(h, &flow->in_port, sizeof(flow->in_port));
	h = hash_more(h, &flow->rem_port, sizeof(flow->rem_port));
	h = hash_more(h, &flow->proto, sizeof(flow->proto));
	h = hash_more(h, &flow->role, sizeof(flow->role));
	return h ?: 1;
}

static struct seen *seen_find(const struct seen_table *table, uint64_t hash)
{
	size_t at = hash;

	if (!table->slots)
		return NULL;
	while (table->slots[at & table->mask].hash &&
	       table->slots[at & table->mask].hash != hash)
		at++;
	return &table->slots[at & table->mask];
}

static int seen_add(struct seen_table *table, const struct seen *seen)
{
	struct seen *slot;

	if (!table->slots || 2 * table->count > table->mask) {
		struct seen_table grown = {
			.mask = table->slots ? 2 * table->mask + 1 : 1023,
		};

		grown.slots = calloc(grown.mask + 1, sizeof(*grown.slots));
		if (!grown.slots)
			return -ENOMEM;
		for (size_t i = 0; table->slots && i <= table->mask; i++)
			if (table->slots[i].hash)
				*seen_find(&grown, table->slots[i].hash) =
					table->slots[i];
		grown.count = table->count;
		free(table->slots);
		*table = grown;
	}
	slot = seen_find(table, seen->hash);
	table->count += !slot->hash;
	*slot = *seen;
	return 0;
}

/* What it has counted since the last look. */
static struct top_rate flow_rate(const struct top *top, const struct seen *now)
{
	static const struct seen nothing;
	struct top_rate rate = {};
	const struct seen *then = seen_find(&top->past->flows, now->hash);

	if (top->seconds <= 0)
		return rate;
	/* another flow of that tuple has ended since, or there was none */
	if (!then || !then->hash || then->packets > now->packets ||
	    then->out_bytes > now->out_bytes || then->in_bytes > now->in_bytes)
		then = &nothing;
	rate.out_bytes = (now->out_bytes - then->out_bytes) / top->seconds;
	rate.in_bytes = (now->in_bytes - then->in_bytes) / top->seconds;
	rate.packets = (now->packets - then->packets) / top->seconds;
	rate.flows = !then->hash / top->seconds;
	return rate;
}

static void add_rate(struct top_rate *sum, const struct top_rate *rate)
{
	sum->out_bytes += rate->out_bytes;
	sum->in_bytes += rate->in_bytes;
	sum->packets += rate->packets;
	sum->flows += rate->flows;
}

/* Keeps the first FLOW_ROWS by the key. */
static void keep_flow(struct top *top, const struct top_row *row)
{
	struct top_list *list = &top->lists[TOP_FLOWS];
	struct top_past *past = top->past;

	if (list->count < FLOW_ROWS) {
		list->rows[list->count++] = *row;
		if (list->count < FLOW_ROWS)
			return;
	} else if (top->key != TOP_BY_NAME &&
		   top_weight(top, TOP_FLOWS, row) <=
			   top_weight(top, TOP_FLOWS,
				      &list->rows[past->worst])) {
		/* most flows are idle: names would decide about nothing */
		return;
	} else if (top_compare(top, TOP_FLOWS, row, &list->rows[past->worst]) <
		   0) {
		list->rows[past->worst] = *row;
	} else {
		return;
	}
	past->worst = 0;
	for (size_t i = 1; i < FLOW_ROWS; i++)
		if (top_compare(top, TOP_FLOWS, &list->rows[past->worst],
				&list->rows[i]) < 0)
			past->worst = i;
}

/* The row of a pod; made when it has none. NULL: out of memory. */
static struct top_row *pod_row(struct top *top, const struct addr *pod)
{
	struct top_list *list = &top->lists[TOP_PODS];
	struct top_past *past = top->past;
	uint64_t hash = hash_of(pod->a, sizeof(pod->a));

	if (!past->pod_index || 2 * list->count > past->pod_mask) {
		size_t mask = past->pod_index ? 2 * past->pod_mask + 1 : 255;
		uint32_t *index = calloc(mask + 1, sizeof(*index));
		void *rows =
			reallocarray(list->rows, mask + 1, sizeof(*list->rows));

		if (rows)
			list->rows = rows;
		if (!index || !rows) {
			free(index);
			return NULL;
		}
		for (size_t i = 0; i < list->count; i++) {
			uint64_t at = hash_more(0xcbf29ce484222325,
						list->rows[i].pod.a,
						sizeof(pod->a));

			while (index[at & mask])
				at++;
			index[at & mask] = i + 1;
		}
		free(past->pod_index);
		past->pod_index = index;
		past->pod_mask = mask;
	}
	for (;; hash++) {
		uint32_t *number = &past->pod_index[hash & past->pod_mask];

		if (!*number) {
			list->rows[list->count] =
				(struct top_row){ .pod = *pod };
			*number = ++list->count;
		}
		if (!memcmp(list->rows[*number - 1].pod.a, pod->a,
			    sizeof(pod->a)))
			return &list->rows[*number - 1];
	}
}

static int look_at_flow(void *data, const struct flow *flow)
{
	struct top *top = data;
	const struct seen now = {
		.hash = hash_flow(flow),
		.out_bytes = flow->egress.bytes,
		.in_bytes = flow->ingress.bytes,
		.packets = flow->egress.packets + flow->ingress.packets,
	};
	struct top_row row = {
		.flow = *flow,
		.rate = flow_rate(top, &now),
		.live = 1,
		.unreplied = !flow->replied,
	};
	struct top_row *pod;

	flow_tally_add(&top->flows, flow);
	top->unreplied += row.unreplied;
	if (flow->prefix < top->instance->meta.max_prefixes) {
		top->past->live[flow->prefix]++;
		top->past->unreplied[flow->prefix] += row.unreplied;
	}
	if (top_is_wanted(top, TOP_FLOWS, &row)) {
		top->matched++;
		keep_flow(top, &row);
	}
	if (flow->role != MASQ_ROLE_HOST) {
		pod = pod_row(top, &flow->in);
		if (!pod)
			return -ENOMEM;
		add_rate(&pod->rate, &row.rate);
		pod->live++;
		pod->unreplied += row.unreplied;
	}
	return seen_add(&top->past->next, &now);
}

static int look_at_flows(struct top *top)
{
	static const struct flow_filter all;
	struct top_past *past = top->past;
	size_t slots = top->instance->meta.max_prefixes;
	int err;

	top->flows = (struct flow_tally){};
	top->unreplied = 0;
	top->matched = 0;
	top->lists[TOP_FLOWS].count = 0;
	top->lists[TOP_PODS].count = 0;
	memset(past->live, 0, slots * sizeof(*past->live));
	memset(past->unreplied, 0, slots * sizeof(*past->unreplied));
	if (past->pod_index)
		memset(past->pod_index, 0,
		       (past->pod_mask + 1) * sizeof(*past->pod_index));
	err = flows_walk(top->instance, &all, look_at_flow, top);
	free(past->flows.slots);
	past->flows = past->next;
	past->next = (struct seen_table){};
	return err;
}

/* --- prefixes and drops ------------------------------------------------ */

static struct top_rate prefix_rate(const struct masq_prefix_count *now,
				   const struct masq_prefix_count *then,
				   double seconds)
{
	struct top_rate rate = {};

	/* the slot was given to another prefix meanwhile */
	if (seconds <= 0 || now->egress.packets < then->egress.packets ||
	    now->ingress.packets < then->ingress.packets)
		return rate;
	rate.out_bytes = (now->egress.bytes - then->egress.bytes) / seconds;
	rate.in_bytes = (now->ingress.bytes - then->ingress.bytes) / seconds;
	rate.packets = (now->egress.packets - then->egress.packets +
			now->ingress.packets - then->ingress.packets) /
		       seconds;
	rate.flows = (now->flows - then->flows) / seconds;
	return rate;
}

static int look_at_prefixes(struct top *top, uint32_t half)
{
	struct top_list *list = &top->lists[TOP_PREFIXES];
	struct top_past *past = top->past;
	int err = 0;

	list->count = 0;
	top->sum = (struct top_rate){};
	for (uint32_t slot = 0; slot < top->instance->meta.max_prefixes;
	     slot++) {
		const struct masq_prefix *prefix =
			&top->instance->prefixes[slot];
		struct masq_prefix_count now;
		struct top_row row = { .slot = slot };

		/* pods are a list of their own; nothing is counted there */
		if (prefix->list == MASQ_L_FREE || prefix->list == MASQ_L_POD)
			continue;
		if (!(prefix->in_half >> half & 1) && !past->live[slot])
			continue;
		err = counters_prefix(top->instance, slot, &now);
		if (err)
			return err;
		row.rate =
			prefix_rate(&now, &past->prefixes[slot], top->seconds);
		row.live = past->live[slot];
		row.unreplied = past->unreplied[slot];
		past->prefixes[slot] = now;
		add_rate(&top->sum, &row.rate);
		list->rows[list->count++] = row;
	}
	return err;
}

static int look_at_drops(struct top *top)
{
	struct top_list *list = &top->lists[TOP_DROPS];
	uint64_t now[MASQ_S_MAX];
	int err = counters_stats(top->instance, now);

	if (err)
		return err;
	list->count = 0;
	top->drops = 0;
	for (uint32_t i = 0; i < MASQ_R_MAX; i++) {
		struct top_row row = { .reason = i, .total = now[i] };

		if (!reasons[i].drop || !now[i])
			continue;
		if (top->seconds > 0)
			row.rate.packets =
				(now[i] - top->past->stats[i]) / top->seconds;
		top->drops += row.rate.packets;
		list->rows[list->count++] = row;
	}
	memcpy(top->past->stats, now, sizeof(now));
	return 0;
}

/* --- looking ----------------------------------------------------------- */

static double clock_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A larger array in the place of this one, which goes; NULL: no memory. */
static void *grow(void *array, size_t had, size_t want, size_t size)
{
	char *larger = reallocarray(array, want, size);

	if (!larger)
		free(array);
	else
		memset(larger + had * size, 0, (want - had) * size);
	return larger;
}

/* Room for as many prefixes as the instance has now. 0 or -ENOMEM. */
static int make_room(struct top *top)
{
	struct top_past *past = top->past;
	struct top_list *list = &top->lists[TOP_PREFIXES];
	size_t slots = top->instance->meta.max_prefixes, had = past->slots;

	if (slots <= had)
		return 0;
	past->prefixes =
		grow(past->prefixes, had, slots, sizeof(*past->prefixes));
	past->live = grow(past->live, had, slots, sizeof(*past->live));
	past->unreplied =
		grow(past->unreplied, had, slots, sizeof(*past->unreplied));
	list->rows = grow(list->rows, had, slots, sizeof(*list->rows));
	past->slots = slots;
	return past->prefixes && past->live && past->unreplied && list->rows
		       ? 0
		       : -ENOMEM;
}

/* A look for it is a walk of its own: not at every look. */
#define VERDICT_S 5

static void judge(struct top *top, double now)
{
	struct policy *policy;

	if (top->verdict_time && now - top->verdict_time < VERDICT_S)
		return;
	verdict_free(&top->verdict);
	top->verdict_time = now;
	if (policy_read(top->instance, &policy))
		return;
	if (verdict_maps(&top->verdict, top->instance, policy))
		verdict_add(&top->verdict, "maps", VERDICT_DEGRADED, NULL,
			    "the dataplane cannot be read");
	policy_free(policy);
}

int top_look(struct top *top)
{
	struct top_past *past = top->past;
	double now = clock_seconds();
	struct masq_policy head;
	uint32_t zero = 0, half;
	/* somebody may have given it another size */
	int err = instance_renew(top->instance, false);

	err = err < 0 ? err : make_room(top);
	if (err)
		return err;
	if (bpf_map_lookup_elem(top->instance->map[MAP_masq_active], &zero,
				&half))
		return -errno;
	half &= 1;
	if (bpf_map_lookup_elem(top->instance->map[MAP_masq_policy], &half,
				&head))
		return -errno;
	top->generation = head.generation;
	top->flow_counts =
		!(top->instance->meta.features & MASQ_FEAT_NO_FLOW_COUNT);
	top->seconds = past->time ? now - past->time : 0;
	past->time = now;
	err = look_at_flows(top) ?: look_at_prefixes(top, half) ?:
	      look_at_drops(top);
	judge(top, now);
	top->cost = clock_seconds() - now;
	if (err)
		return err;
	top_filter_list(top, TOP_PREFIXES);
	top_filter_list(top, TOP_PODS);
	top_sort(top);
	return 0;
}

int top_open(struct top *top, struct instance *instance)
{
	struct top_past *past = calloc(1, sizeof(*past));

	top->instance = instance;
	top->past = past;
	if (!past)
		return -ENOMEM;
	top->lists[TOP_FLOWS].rows = calloc(FLOW_ROWS, sizeof(struct top_row));
	top->lists[TOP_DROPS].rows = calloc(MASQ_R_MAX, sizeof(struct top_row));
	return top->lists[TOP_FLOWS].rows && top->lists[TOP_DROPS].rows
		       ? make_room(top)
		       : -ENOMEM;
}

void top_close(struct top *top)
{
	verdict_free(&top->verdict);
	for (enum top_section s = 0; s < TOP_SECTIONS; s++)
		free(top->lists[s].rows);
	if (!top->past)
		return;
	free(top->past->prefixes);
	free(top->past->live);
	free(top->past->unreplied);
	free(top->past->flows.slots);
	free(top->past->next.slots);
	free(top->past->pod_index);
	free(top->past);
}
