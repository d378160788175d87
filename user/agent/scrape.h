/* SPDX-License-Identifier: GPL-2.0-only */
/* scrape.h - the numbers that are handed out. */
#ifndef MASQ_AGENT_SCRAPE_H
#define MASQ_AGENT_SCRAPE_H

#include "agent/state.h"

/*
 * A walk over a full table takes a while: whoever asks often gets the same
 * text again, until so many times as long has gone by as it took to make it.
 */
#define SCRAPE_REUSE 4

/* Fresh, or as fresh as the cost of making it allows. 0 or -errno. */
int agent_metrics(struct agent *agent);
void agent_metrics_state(struct agent *agent, struct metrics_uplink *uplinks,
			 struct metrics_state *out);

#endif
