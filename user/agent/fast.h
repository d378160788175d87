/* SPDX-License-Identifier: GPL-2.0-only */
/* fast.h - the agent and the fast path: it looks, and renews the lease. */
#ifndef MASQ_AGENT_FAST_H
#define MASQ_AGENT_FAST_H

#include "agent/state.h"

/*
 * A look at what stands against the fast path, and a lease until some time
 * after the next one; says in the log what has changed. Sets fast_due_ms.
 */
void agent_fast_update(struct agent *agent);

#endif
