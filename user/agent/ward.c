// SPDX-License-Identifier: GPL-2.0-only
/* ward.c - what is noted of the generation in force. */
#include <errno.h>
#include <string.h>
#include "agent/ward.h"
#include "base/log.h"

void agent_ward(struct agent *a, uint32_t generation)
{
	int err;

	ward_close(a->ward);
	a->ward = NULL;
	a->guard_generation = generation;
	a->guard_look_ms = 0;
	a->verdict_known = false;
	a->guard_problem[0] = '\0';
	a->refused_hash = 0;
	err = a->guard_action == GUARD_OFF ? -ENOENT
					   : ward_open(a->instance, &a->ward);
	if (err && err != -ENOENT)
		log_warn("guard: generation %u is not watched: %s", generation,
			 strerror(-err));
	if (err)
		return;
	if (a->ward->state.flags & WARD_BACK)
		a->refused_hash = a->ward->state.refused;
	else if (a->ward->state.flags & WARD_FIRST)
		log_debug("guard: generation %u is the first one", generation);
	else
		log_info("guard: generation %u changes the treatment of "
			 "addresses: watched (%s)",
			 generation, config_guards[a->guard_action]);
}
