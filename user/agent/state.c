// SPDX-License-Identifier: GPL-2.0-only
/* state.c - the instance's lock, which the agent has only for a change. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "agent/state.h"
#include "base/lock.h"

/* Who has waited so long for the lock looks after other things first. */
#define LOCK_MS 2000

static void renew(struct agent *a, bool locked)
{
	struct stat st;

	if (a->awaiting)
		return;
	if (fstat(a->instance->lock_fd, &st))
		return;
	/* what was not done to the end may have been looked at before */
	if (!locked && st.st_ctim.tv_sec == a->pins_changed.tv_sec &&
	    st.st_ctim.tv_nsec == a->pins_changed.tv_nsec)
		return;
	if (helper_renew(&a->helper, a->instance, locked) >= 0)
		a->pins_changed = st.st_ctim;
}

void agent_renew(struct agent *a)
{
	renew(a, false);
}

void agent_renew_now(struct agent *a)
{
	renew(a, true);
}

int agent_lock(struct agent *a)
{
	int err = lock_take(a->instance->lock_fd, LOCK_MS);

	if (!err)
		renew(a, true);
	return err;
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
