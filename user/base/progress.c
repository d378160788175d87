// SPDX-License-Identifier: GPL-2.0-only
/* progress.c - when to say how far long work is. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "base/progress.h"

#define QUIET_MS  1000 /* what takes no longer needs no words */
#define REDRAW_MS 200
#define LOG_MS	  10000

static uint64_t now_ms(void)
{
	struct timespec now;

	/* a tick late is early enough, and it costs next to nothing */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * UINT64_C(1000) + now.tv_nsec / 1000000;
}

static void say(const struct progress *p)
{
	char text[128], of[32] = "";
	/* what is counted may have grown meanwhile */
	uint64_t total = p->done > p->total ? p->done : p->total;

	if (p->total)
		snprintf(of, sizeof(of), " of %" PRIu64, total);
	snprintf(text, sizeof(text), "%s: %" PRIu64 "%s %s", p->what, p->done,
		 of, p->unit);
	if (log_is_terminal())
		log_transient(text);
	else
		log_info("%s", text);
}

void progress_begin(struct progress *p, const char *what, const char *unit,
		    uint64_t total)
{
	*p = (struct progress){
		.what = what,
		.unit = unit,
		.total = total,
		.next_ms = now_ms() + (log_is_terminal() ? QUIET_MS : LOG_MS),
	};
}

void progress_to(struct progress *p, uint64_t done)
{
	uint64_t now = now_ms();

	p->done = done;
	if (now < p->next_ms)
		return;
	say(p);
	p->next_ms = now + (log_is_terminal() ? REDRAW_MS : LOG_MS);
}

void progress_end(struct progress *p)
{
	(void)p;
	log_transient(NULL);
}
