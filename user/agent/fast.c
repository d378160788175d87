// SPDX-License-Identifier: GPL-2.0-only
/*
 * fast.c - on by itself where nothing stands against it. The lease is what
 * makes that safe: an agent that is killed, stopped or busy renews nothing, and
 * packets take the stack.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "agent/fast.h"
#include "agent/follow.h"
#include "agent/helper.h"
#include "base/log.h"

/* Between two looks, and how much longer the lease lasts. */
#define LOOK_MS	 1000
#define LEASE_MS 3000

/* One line whenever it has become another. */
static void say(struct agent *a, const struct fastpath_sum *sum)
{
	char text[sizeof(a->fast_said)];
	const struct fastpath_link *off = sum->named ? &sum->off[0] : NULL;

	fastpath_sum_text(sum, text, sizeof(text));
	if (off && !*sum->node)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "; off for %s: %s", off->name, off->why);
	if (strcmp(a->fast_said, text) != 0)
		log_info("fast path: %s", text);
	snprintf(a->fast_said, sizeof(a->fast_said), "%s", text);
	if (!a->fast_known && sum->pods_on && !fastpath_tcp_allowed())
		log_info("fast path: TCP connection by connection: conntrack, "
			 "which would call their packets out of window, is "
			 "told to be liberal with those that last; "
			 "nf_conntrack_tcp_be_liberal is left alone");
	a->fast_known = true;
	a->fast = *sum;
}

void agent_fast_update(struct agent *a)
{
	uint64_t start = follow_now_ms(), cost, rest;
	struct fastpath_sum sum = {};
	char text[96];
	int err;

	a->fast_due_ms = start + LOOK_MS;
	if (!a->has_policy || !fastpath_is_on(a->instance))
		return;
	if (a->options.fast_path == FASTPATH_OFF) {
		if (!a->fast_known) {
			helper_fast(&a->helper, 0, &sum);
			snprintf(a->fast.node, sizeof(a->fast.node),
				 "--fast-path off");
		}
		a->fast_known = true;
		return;
	}
	err = agent_lock(a);
	if (!err) {
		err = helper_fast(
			&a->helper,
			(LEASE_MS + 10 * a->fast_cost_ms) * 1000000ULL, &sum);
		instance_unlock(a->instance);
	}
	if (err == -EPIPE || err == -ECANCELED)
		a->failed = err == -EPIPE ? err : a->failed;
	else if (err) {
		sum = (struct fastpath_sum){};
		snprintf(sum.node, sizeof(sum.node), "%s",
			 agent_why(a, err, text, sizeof(text)));
	}
	if (!a->failed)
		say(a, &sum);
	/* on a node with very many rules, at most a tenth of the time */
	cost = follow_now_ms() - start;
	rest = 9 * cost;
	a->fast_cost_ms = cost;
	a->fast_due_ms = follow_now_ms() + (rest > LOOK_MS ? rest : LOOK_MS);
}
