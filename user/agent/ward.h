/* SPDX-License-Identifier: GPL-2.0-only */
/* ward.h - what is watched: the generation in force. */
#ifndef MASQ_AGENT_WARD_H
#define MASQ_AGENT_WARD_H

#include "agent/state.h"

/* This generation is in force, and was not when it was called last. */
void agent_ward(struct agent *agent, uint32_t generation);

#endif
