/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * progress.h - how far long work is, on stderr: nothing in the first second.
 * Then a terminal has one line, drawn again and again, that is gone at the
 * end; a log gets a line every ten seconds. With -q neither.
 */
#ifndef MASQ_PROGRESS_H
#define MASQ_PROGRESS_H

#include <stdint.h>

struct progress {
	const char *what; /* is done: "flush" */
	const char *unit; /* what is counted: "flows" */
	uint64_t total; /* 0: not known */
	uint64_t done;
	uint64_t next_ms; /* when to speak again */
};

void progress_begin(struct progress *p, const char *what, const char *unit,
		    uint64_t total);
/* So many are done; cheap enough for every step of a loop. */
void progress_to(struct progress *p, uint64_t done);
static inline void progress_step(struct progress *p)
{
	progress_to(p, p->done + 1);
}
/* In every case, also after an error. */
void progress_end(struct progress *p);

#endif
