// SPDX-License-Identifier: GPL-2.0-only
/*
 * metrics_read.c - reads the counters and gauges.
 *
 * Counters live in pinned maps and continue over a restart. Gauges of flows
 * come from a walk over the records, where expired ones are absent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <netinet/in.h>
#include "base/log.h"
#include "base/prefix.h"
#include "plane/counters.h"
#include "plane/flows.h"
#include "plane/tally.h"
#include "report/metrics.h"

/* --- port utilization --------------------------------------------------
 *
 * A port can be used once towards each destination. So what runs out are the
 * ports of one (node address, protocol, destination, destination port): the
 * fullest of these is what is told. Counted by a 64-bit hash of the four; two
 * destinations with the same one are not to be expected in a lifetime.
 */

struct usage_slot {
	uint64_t hash; /* 0: free */
	uint32_t ports;
};

struct usage {
	struct usage_slot *slots;
	uint32_t used, mask;
	uint32_t most;
};

static struct usage_slot *usage_find(struct usage_slot *slots, uint32_t mask,
				     uint64_t hash)
{
	uint32_t at = hash;

	while (slots[at & mask].hash && slots[at & mask].hash != hash)
		at++;
	return &slots[at & mask];
}

static int usage_grow(struct usage *u)
{
	uint32_t mask = u->slots ? 2 * u->mask + 1 : 1023;
	struct usage_slot *slots = calloc(mask + 1ULL, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; u->slots && i <= u->mask; i++)
		if (u->slots[i].hash)
			*usage_find(slots, mask, u->slots[i].hash) =
				u->slots[i];
	free(u->slots);
	u->slots = slots;
	u->mask = mask;
	return 0;
}

static int usage_add(struct usage *u, const struct flow *flow)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t hash = (uint64_t)flow->rem_port << 8 | flow->proto;
	struct usage_slot *slot;

	for (int i = 0; i < 4; i++) {
		hash = (hash ^ flow->xlat.a[i] ^
			(uint64_t)flow->rem.a[i] << 32) *
		       odd;
		hash ^= hash >> 29;
	}
	hash = hash ?: 1;
	if ((!u->slots || u->used > u->mask / 2) && usage_grow(u))
		return -ENOMEM;
	slot = usage_find(u->slots, u->mask, hash);
	u->used += !slot->hash;
	slot->hash = hash;
	if (++slot->ports > u->most)
		u->most = slot->ports;
	return 0;
}

/* The ports that a policy may choose from. */
struct ports {
	uint16_t min, max;
	uint64_t closed[MASQ_PORT_WORDS]; /* bits: never used */
	uint32_t count;
};

static bool port_open(const struct ports *ports, uint16_t port)
{
	return port >= ports->min && port <= ports->max &&
	       !(ports->closed[port / 64] >> port % 64 & 1);
}

static int read_ports(const struct instance *instance, uint32_t half,
		      const struct masq_policy *head, struct ports *ports)
{
	ports->min = head->port_min;
	ports->max = head->port_max;
	for (uint32_t i = ports->min / 64; i <= ports->max / 64U; i++) {
		uint32_t key = half * MASQ_PORT_WORDS + i;

		if (bpf_map_lookup_elem(instance->map[MAP_masq_ports], &key,
					&ports->closed[i]))
			return -errno;
	}
	ports->count = 0;
	for (uint32_t port = ports->min; port <= ports->max; port++)
		ports->count += port_open(ports, port);
	return 0;
}

/* --- reading ----------------------------------------------------------- */

struct reading {
	struct metrics *metrics;
	uint32_t half; /* in force */
	/* by slot: number in metrics->prefixes + 1 */
	uint32_t *row;
	uint32_t max_prefixes;
	struct ports ports;
	struct usage usage;
};

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_DCCP;
}

static int count_flow(void *data, const struct flow *flow)
{
	struct reading *r = data;
	uint32_t row = 0;

	flow_tally_add(&r->metrics->flows, flow);
	if (flow->prefix < r->max_prefixes)
		row = r->row[flow->prefix];
	if (row && !flow->replied)
		r->metrics->prefixes[row - 1].unreplied++;
	if (flow->kind == MASQ_K_FWD && has_ports(flow->proto) &&
	    port_open(&r->ports, flow->xlat_port))
		return usage_add(&r->usage, flow);
	return 0;
}

static bool is_counted(const struct masq_prefix *prefix)
{
	return prefix->list == MASQ_L_DST || prefix->list == MASQ_L_KEEP_SOURCE;
}

/* The row for a slot beyond the limit: one of each action, at the end. */
static uint32_t other_row(struct metrics *m, uint8_t action)
{
	if (m->prefix_count == METRICS_MAX_PREFIXES) {
		for (uint8_t a = MASQ_MASQUERADE; a <= MASQ_KEEP; a++)
			m->prefixes[m->prefix_count++] =
				(struct metrics_prefix){ .list = MASQ_L_DST,
							 .action = a };
	}
	return METRICS_MAX_PREFIXES + action;
}

static void add_count(struct masq_prefix_count *sum,
		      const struct masq_prefix_count *more)
{
	sum->egress.packets += more->egress.packets;
	sum->egress.bytes += more->egress.bytes;
	sum->ingress.packets += more->ingress.packets;
	sum->ingress.bytes += more->ingress.bytes;
	sum->flows += more->flows;
}

/*
 * In the order of slots: a slot keeps its prefix while there are unused
 * slots, so a prefix does not move in and out of `other`. Removed prefixes
 * stay, a counter that vanishes would lose what it counted last.
 */
static int read_prefixes(struct instance *instance, struct reading *r)
{
	struct metrics *m = r->metrics;

	for (uint32_t slot = 0; slot < r->max_prefixes; slot++) {
		const struct masq_prefix *prefix = &instance->prefixes[slot];
		struct masq_prefix_count count;
		uint32_t row;
		int err;

		if (!is_counted(prefix))
			continue;
		err = counters_prefix(instance, slot, &count);
		if (err)
			return err;
		if (m->prefix_count < METRICS_MAX_PREFIXES) {
			row = m->prefix_count++;
			m->prefixes[row].cidr = prefix_cidr(prefix);
			m->prefixes[row].list = prefix->list;
			m->prefixes[row].action = prefix->action;
			m->prefixes[row].in_policy =
				prefix->in_half >> r->half & 1;
		} else {
			row = other_row(m, prefix->action);
		}
		add_count(&m->prefixes[row].count, &count);
		r->row[slot] = row + 1;
	}
	return 0;
}

static int read_policy(struct instance *instance, struct reading *r)
{
	struct masq_policy head;
	uint32_t zero = 0, half;

	if (bpf_map_lookup_elem(instance->map[MAP_masq_active], &zero, &half))
		return -errno;
	half &= 1;
	r->half = half;
	if (bpf_map_lookup_elem(instance->map[MAP_masq_policy], &half, &head))
		return -errno;
	r->metrics->generation = head.generation;
	/* before the first policy the slots have no counters to tell */
	return head.generation ? read_ports(instance, half, &head, &r->ports)
					 ?: read_prefixes(instance, r)
			       : 0;
}

int metrics_read(struct instance *instance, struct metrics *out)
{
	struct reading r = { .metrics = out,
			     .max_prefixes = instance->meta.max_prefixes };
	int err = -ENOMEM;

	*out = (struct metrics){ .flows_limit = instance->meta.max_flows };
	for (int i = 0; i < FLOW_BUDGETS; i++)
		out->budget_limit[i] =
			instance_flows_max(instance, flow_budgets[i].family);
	out->prefixes =
		calloc(METRICS_MAX_PREFIXES + 2, sizeof(*out->prefixes));
	r.row = calloc(r.max_prefixes, sizeof(*r.row));
	if (out->prefixes && r.row)
		err = read_policy(instance, &r)
			      ?: counters_stats(instance, out->stats)
			      ?: (fastpath_is_on(instance)
					  ? fastpath_skips(instance, out->skips)
					  : 0)
			      ?: flows_walk_owners(instance, count_flow, &r);
	if (r.ports.count)
		out->port_utilization = (double)r.usage.most / r.ports.count;
	free(r.usage.slots);
	free(r.row);
	if (err)
		log_error("metrics: cannot read: %s", strerror(-err));
	return err;
}

void metrics_free(struct metrics *metrics)
{
	free(metrics->prefixes);
	metrics->prefixes = NULL;
	metrics->prefix_count = 0;
}
