/* SPDX-License-Identifier: GPL-2.0-only */
/* health.h - what is wrong, for whoever asks. */
#ifndef MASQ_AGENT_HEALTH_H
#define MASQ_AGENT_HEALTH_H

#include <stdbool.h>
#include "agent/state.h"

/* Is pod traffic masqueraded as it should be? Why not: one line each. */
struct agent_health {
	bool ready;
	char text[4096]; /* "": all is well */
};
void agent_health(struct agent *agent, struct agent_health *out);
/* The part of it that the maps tell, as fresh as its cost allows. */
const struct verdict *agent_verdict(struct agent *agent);

#endif
