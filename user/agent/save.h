/* SPDX-License-Identifier: GPL-2.0-only */
/* save.h - what a reboot must not lose: see policy/saved.h. */
#ifndef MASQ_AGENT_SAVE_H
#define MASQ_AGENT_SAVE_H

#include "agent/state.h"

/* Now and then, and soon after something of the guard's is to be kept. */
void agent_save_update(struct agent *agent);
/* When the agent ends. */
void agent_save_last(struct agent *agent);
/* Under the lock, which the caller has: a change is in force. */
void agent_save(struct agent *agent);

#endif
