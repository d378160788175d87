/* SPDX-License-Identifier: GPL-2.0-only */
/* guard.h - one agent an instance; who is it? */
#ifndef MASQ_AGENT_GUARD_H
#define MASQ_AGENT_GUARD_H

#include <sys/types.h>
#include "plane/instance.h"

/*
 * A descriptor that holds the guard as long as it is open; -EBUSY: another
 * agent has it; -errno: it cannot be known. Printed.
 */
int guard_take(const struct instance *instance);
/*
 * The agent's process; 0: of a container whose processes we do not see, or it
 * cannot be known; -1: there is none.
 */
pid_t guard_owner(const struct instance *instance);

#endif
