// SPDX-License-Identifier: GPL-2.0-only
/* state.c - the instance's lock, which the agent has only for a change. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "agent/state.h"
#include "base/lock.h"

/* Who has waited so long for the lock looks after other things first. */
#define LOCK_MS 2000

int agent_lock(struct agent *a)
{
	return lock_take(a->instance->lock_fd, LOCK_MS);
}

const char *agent_why(const struct agent *a, int err, char *buf, size_t len)
{
	char holder[64];

	if (err == -EBUSY)
		snprintf(buf, len, "locked by %s",
			 lock_holder(a->instance->lock_fd, holder,
				     sizeof(holder)));
	else
		snprintf(buf, len, "%s", strerror(-err));
	return buf;
}
