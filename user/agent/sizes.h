/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sizes.h - the table has the size and the programs that are wanted, or what
 * there is goes on, and it is tried again.
 */
#ifndef MASQ_AGENT_SIZES_H
#define MASQ_AGENT_SIZES_H

#include "agent/state.h"

/* At the start, with privileges; as a->sizes say. */
void agent_sizes_begin(struct agent *agent);
/*
 * As the config says, under the lock. 0: go on, whether or not it could be had;
 * -errno: what has begun cannot be done to the end just now, and what is written
 * meanwhile may not be seen.
 */
int agent_sizes_fit(struct agent *agent, const struct config *config);
/* The node needs programs that are not there; under the lock. */
void agent_sizes_want(struct agent *agent);
void agent_sizes_again(struct agent *agent);
/* What is due of a config is this alone, or nothing. */
void agent_sizes_note(struct agent *agent);

#endif
