/* SPDX-License-Identifier: GPL-2.0-only */
/* due.h - what has failed and is tried again. */
#ifndef MASQ_AGENT_DUE_H
#define MASQ_AGENT_DUE_H

#include "agent/state.h"

/* Notes it down. True: nothing of the kind was due. */
bool agent_due(struct agent *agent, enum masq_due_kind kind, const char *fmt,
	       ...) __attribute__((format(printf, 3, 4)));
/* True: it was due. */
bool agent_done(struct agent *agent, enum masq_due_kind kind);
/* From the nth failure in a row to the next attempt. */
uint64_t agent_backoff_ms(unsigned int failures);

#endif
