// SPDX-License-Identifier: GPL-2.0-only
/* ward_flows.c - from the flow table to the judge. */
#include <errno.h>
#include <stdlib.h>
#include "kernel/netdev.h"
#include "plane/flows.h"
#include "policy/baseline.h"
#include "policy/live.h"
#include "policy/ward_flows.h"
#include "policy/ward_notes.h"

/*
 * A source that was no pod by the policy before: its flows had no records, but
 * what came back to it has made inbound ones. (Whether it was the one that
 * began they do not tell: one that was not is compared with nothing, for what
 * hangs later goes to a service's port.)
 */
static bool was_passed(struct ward *w, const struct flow *flow,
		       struct plan_flow *f)
{
	struct flow as_pod = *flow;

	if (flow->kind != MASQ_K_INBOUND || !w->plan)
		return false;
	as_pod.kind = MASQ_K_KEEP;
	return plan_flow_flips(w->plan, &as_pod, f) && f->source >= 0 &&
	       w->plan->sources.items[f->source].from.action == PLAN_UNTOUCHED;
}

/* Does the change flip what becomes of it? *to: what it is from now on; *node:
 * it was masqueraded, as the node's own packets are. */
static bool flips(struct ward *w, const struct flow *flow, uint8_t *to,
		  bool *node)
{
	struct plan_flow f;

	if (was_passed(w, flow, &f)) {
		*to = f.to.action == PLAN_MASQUERADE ? MASQ_K_FWD : MASQ_K_KEEP;
		*node = false;
		return true;
	}
	if (flow->kind == MASQ_K_INBOUND || flow->role != MASQ_ROLE_FLOW)
		return false;
	if (!w->plan) {
		/* nobody knows what was before */
		*to = MASQ_K_KEEP;
		*node = true;
		return flow->kind == MASQ_K_KEEP;
	}
	if (plan_flow_flips(w->plan, flow, &f)) {
		*to = f.to.action == PLAN_MASQUERADE ? MASQ_K_FWD : MASQ_K_KEEP;
		*node = f.from.action == PLAN_MASQUERADE && !f.from.snat &&
			*to == MASQ_K_KEEP;
		return true;
	}
	*to = MASQ_K_FWD;
	*node = false;
	return w->ports && flow->kind == MASQ_K_FWD;
}

static uint64_t ms_ago(const struct ward *w, uint64_t now, uint32_t ticks)
{
	uint64_t ms = ticks_to_seconds(w->instance, ticks) * 1000;

	return ms < now ? now - ms : 0;
}

/* Who writes another pod's address into a packet is not that pod. */
static bool is_trusted(struct ward *w, const struct flow *flow)
{
	if (!addr_equal(&w->routed, &flow->in)) {
		w->routed = flow->in;
		if (netdev_route_to(&flow->in, &w->routed_by))
			w->routed_by = 0;
	}
	return w->routed_by && w->routed_by == flow->device;
}

/* Of a pod that the new policy drops. */
static bool is_dropped(struct ward *w, const struct addr *pod)
{
	return w->state.flags & WARD_DROPS &&
	       treat_source(w->to, pod).action == PLAN_DROPPED;
}

struct look {
	struct ward *ward;
	uint64_t now;
	bool before; /* it is what was there before the change */
};

static int look_at(void *data, const struct flow *flow)
{
	struct look *look = data;
	struct ward *w = look->ward;
	struct vigil_flow f;
	uint8_t to;
	bool node;
	/* generations go up by one each time, and begin at 1 */
	bool old = (int32_t)(flow->generation - w->state.begin) < 0;
	bool new = w->state.flags &WARD_FIRST ||
		   (int32_t)(flow->generation - w->state.generation) >= 0;

	if ((look->before ? !old : !old && !new) ||
	    (look->before && !flow->replied) || !flips(w, flow, &to, &node))
		return 0;
	if (new && flow->kind != to)
		return 0;
	f = (struct vigil_flow){
		.pod = flow->in,
		.dest = flow->rem,
		.pod_port = flow->in_port,
		.port = proto_is_icmp(flow->proto) ? 0 : flow->rem_port,
		.proto = flow->proto,
		.after = new,
		.replied = flow->replied,
		.old_probe = node,
		.begun_ms = ms_ago(w, look->now, flow->age),
		.answers = flow->ingress.packets,
	};
	if (flow->answer_idle != UINT32_MAX)
		f.answered_ms = ms_ago(w, look->now, flow->answer_idle);
	if (look->before) {
		w->state.dropped += is_dropped(w, &flow->in);
		return vigil_before(w->vigil, &f);
	}
	if (new && !f.replied)
		f.trusted = is_trusted(w, flow);
	return vigil_see(w->vigil, &f);
}

/* After a reboot: what was answered there, as of flows that are no more. */
int ward_walk_baseline(struct ward *w)
{
	struct baseline_item *items;
	uint32_t count;
	int err = baseline_before(w->instance, &items, &count);

	if (err)
		return err == -ENOMEM ? err : 0;
	for (uint32_t i = 0; i < count && !err; i++) {
		const struct baseline_item *item = &items[i];
		const struct flow flow = { .proto = item->proto,
					   .role = MASQ_ROLE_FLOW,
					   .kind = item->kind,
					   .replied = true,
					   .in = item->pod,
					   .rem = item->dest,
					   .rem_port = item->port };
		uint8_t to;
		bool node;

		if (!flips(w, &flow, &to, &node))
			continue;
		err = vigil_before(w->vigil, &(struct vigil_flow){
						     .pod = item->pod,
						     .dest = item->dest,
						     .port = item->port,
						     .proto = item->proto,
						     .replied = true,
						     .more = item->flows - 1 });
	}
	free(items);
	return err;
}

int ward_walk(struct ward *w, bool before)
{
	static const struct flow_filter all;
	struct look look = { w, ward_now_ms(w->instance), before };

	return flows_walk(w->instance, &all, look_at, &look);
}
