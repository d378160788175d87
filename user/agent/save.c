// SPDX-License-Identifier: GPL-2.0-only
/*
 * save.c - a change is saved with its lock; who was answered, now and then: the
 * agent may be killed at any time, and a machine may lose its power.
 */
#include <errno.h>
#include <poll.h>
#include "agent/save.h"
#include "base/log.h"
#include "policy/baseline.h"
#include "policy/saved.h"

/* After the start; later every BASELINE_MS. */
#define FIRST_MS 60000
/* The flows are walked for it: at most this part of the time. */
#define PART 200
/* Somebody else has the lock, or it failed: longer each time, up to BASELINE_MS. */
#define AGAIN_MS 5000
/* When it ends somebody waits. */
#define LAST_MS	 500
#define AWAIT_MS 3000

void agent_save(struct agent *a)
{
	saved_keep(a->instance, false);
}

static bool save(struct agent *a)
{
	uint64_t start = follow_now_ms();

	if (agent_lock(a))
		return false;
	saved_keep(a->instance, true);
	instance_unlock(a->instance);
	a->save_cost_ms = follow_now_ms() - start;
	return true;
}

void agent_save_update(struct agent *a)
{
	uint64_t now = follow_now_ms(), pace;
	bool behind;

	if (!a->has_policy || !saved_is_wanted())
		return;
	/* a command that was killed has not come to it, or it failed */
	behind = now >= a->save_again_ms && saved_is_behind(a->instance);
	if (behind) {
		a->save_wait_ms = a->save_wait_ms ? 2 * a->save_wait_ms
						  : AGAIN_MS;
		if (a->save_wait_ms > BASELINE_MS)
			a->save_wait_ms = BASELINE_MS;
		a->save_again_ms = now + a->save_wait_ms;
	} else if (now >= a->save_again_ms) {
		a->save_wait_ms = 0;
	}
	if (now < a->save_due_ms && !behind)
		return;
	if ((a->save_due_ms || behind) && !save(a)) {
		a->save_due_ms = follow_now_ms() + AGAIN_MS;
		return;
	}
	pace = a->save_due_ms ? BASELINE_MS : FIRST_MS;
	if (pace < PART * a->save_cost_ms)
		pace = PART * a->save_cost_ms;
	a->save_due_ms = follow_now_ms() + pace;
}

static int await_briefly(void *data, int fd)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };

	(void)data;
	return poll(&answer, 1, AWAIT_MS) == 1 ? 0 : -ECANCELED;
}

void agent_save_last(struct agent *a)
{
	/* the helper may be at something else, and was not waited for */
	if (!a->has_policy || a->awaiting || a->save_cost_ms > LAST_MS ||
	    !saved_is_wanted())
		return;
	a->helper.wait = await_briefly;
	save(a);
}
