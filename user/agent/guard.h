/* SPDX-License-Identifier: GPL-2.0-only */
/* guard.h - a change that breaks traffic is told of, or ends. */
#ifndef MASQ_AGENT_AGENT_GUARD_H
#define MASQ_AGENT_AGENT_GUARD_H

#include "agent/state.h"

/* When it is due: who has changed the policy, and what has come of it? */
void agent_guard_update(struct agent *agent);

#endif
