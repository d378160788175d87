/* SPDX-License-Identifier: GPL-2.0-only */
/* agent.h - the long-running form of masqbpf. */
#ifndef MASQ_AGENT_AGENT_H
#define MASQ_AGENT_AGENT_H

#include "agent/state.h"

/* From set-up to the end. 0 or -errno, printed. */
int agent_run(const struct agent_options *options);

#endif
