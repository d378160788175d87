/* SPDX-License-Identifier: GPL-2.0-only */
/* foreign.h - others that translate. */
#ifndef MASQ_AGENT_FOREIGN_H
#define MASQ_AGENT_FOREIGN_H

#include "agent/state.h"

/* Looks for others that translate. */
void agent_foreign_update(struct agent *agent);

#endif
