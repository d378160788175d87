// SPDX-License-Identifier: GPL-2.0-only
/* state.c - the instance's lock, which the agent has only for a change. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "agent/state.h"
#include "base/lock.h"
#include "base/log.h"

/* Who has waited so long for the lock looks after other things first. */
#define LOCK_MS 2000

static int renew(struct agent *a, bool locked)
{
	struct stat st;
	int err;

	/* the helper is at it, and nobody waits for it any more */
	if (a->awaiting)
		return locked ? -EBUSY : 0;
	if (fstat(a->instance->lock_fd, &st))
		return -errno;
	/* what was not done to the end may have been looked at before */
	if (!locked && st.st_ctim.tv_sec == a->pins_changed.tv_sec &&
	    st.st_ctim.tv_nsec == a->pins_changed.tv_nsec)
		return 0;
	err = helper_renew(&a->helper, a->instance, locked);
	if (err >= 0)
		a->pins_changed = st.st_ctim;
	return err < 0 ? err : 0;
}

void agent_renew(struct agent *a)
{
	renew(a, false);
}

int agent_renew_now(struct agent *a)
{
	return renew(a, true);
}

void agent_pins_gone(struct agent *a)
{
	bool back;

	if (a->failed)
		return;
	/* filters of clsact went on: who starts next finds the pins again */
	back = helper_putback(&a->helper) > 0;
	log_error(
		"%s: the pins were removed%s: ending; a service manager starts "
		"the agent anew",
		a->instance->pin_dir,
		back ? ", but not the filters, and are put back" : "");
	a->failed = -ENOENT;
}

int agent_lock(struct agent *a)
{
	int err = lock_take(a->instance->lock_fd, LOCK_MS);

	if (err)
		return err;
	/* what is written to maps that are pinned no more nobody sees */
	err = renew(a, true);
	if (err == -ENOENT) /* but not their directory */
		agent_pins_gone(a);
	if (err)
		instance_unlock(a->instance);
	return err;
}

const char *agent_why(const struct agent *a, int err, char *buf, size_t len)
{
	char holder[64];

	if (err == -EBUSY)
		snprintf(buf, len, "locked by %s",
			 lock_holder(a->instance->lock_fd, holder,
				     sizeof(holder)));
	else if (err == -EPROTO)
		snprintf(buf, len, "another version of masqbpf has taken over");
	else
		snprintf(buf, len, "%s", strerror(-err));
	return buf;
}
