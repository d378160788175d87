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

static void say(struct agent *a, uint32_t pods, const char *why)
{
	if (a->fast_known && a->fast_pods == pods && !strcmp(a->fast_why, why))
		return;
	if (!pods)
		log_info("fast path: off%s%s", *why ? ": " : "", why);
	else
		log_info("fast path: on for %u pod interfaces%s%s", pods,
			 *why ? "; not for " : "", why);
	if (!a->fast_known && pods && !fastpath_tcp_allowed())
		log_info("fast path: not for TCP, since conntrack would call "
			 "its packets out of window; with --fast-path on "
			 "nf_conntrack_tcp_be_liberal is set to 1, and TCP "
			 "takes it, too");
	a->fast_known = true;
	a->fast_pods = pods;
	snprintf(a->fast_why, sizeof(a->fast_why), "%s", why);
}

void agent_fast_update(struct agent *a)
{
	uint64_t start = follow_now_ms(), cost, rest;
	char why[FASTPATH_WHY] = "", text[96];
	uint32_t pods = 0;
	int err;

	a->fast_due_ms = start + LOOK_MS;
	if (!a->has_policy || !fastpath_is_on(a->instance))
		return;
	if (a->options.fast_path == FASTPATH_OFF) {
		if (!a->fast_known)
			helper_fast(&a->helper, 0, &pods, why);
		a->fast_known = true;
		return;
	}
	err = agent_lock(a);
	if (!err) {
		err = helper_fast(&a->helper,
				  (LEASE_MS + 10 * a->fast_cost_ms) *
					  1000000ULL,
				  &pods, why);
		instance_unlock(a->instance);
	}
	if (err == -EPIPE || err == -ECANCELED)
		a->failed = err == -EPIPE ? err : a->failed;
	else if (!err)
		say(a, pods, why);
	else
		say(a, 0, agent_why(a, err, text, sizeof(text)));
	/* on a node with very many rules, at most a tenth of the time */
	cost = follow_now_ms() - start;
	rest = 9 * cost;
	a->fast_cost_ms = cost;
	a->fast_due_ms = follow_now_ms() + (rest > LOOK_MS ? rest : LOOK_MS);
}
