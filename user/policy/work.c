// SPDX-License-Identifier: GPL-2.0-only
/*
 * work.c - programs run under RCU, and membarrier waits for a grace period.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include "policy/work.h"

/* No packet is in our programs for so long. */
#define GRACE_NS (100 * 1000000ULL)

void work_wait(struct work *w)
{
	uint64_t since = instance_now_ns(w->instance) - w->meta.flipped_ns;
	/* killed between flip and note: the time is that of an older flip */
	bool unknown = w->meta.dirty >> w->active & 1;

	if (w->waited)
		return;
	w->waited = true;
	if (!unknown && since > GRACE_NS && since < INT64_MAX)
		return;
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)) {
		/* it is refused where a CPU runs without ticks */
		struct timespec t = { .tv_nsec = GRACE_NS };

		while (nanosleep(&t, &t) && errno == EINTR)
			;
	}
}
