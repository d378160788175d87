/* SPDX-License-Identifier: GPL-2.0-only */
/* agent_lock.h - one agent an instance; who is it? */
#ifndef MASQ_PLANE_AGENT_LOCK_H
#define MASQ_PLANE_AGENT_LOCK_H

#include <sys/types.h>
#include "plane/instance.h"

/*
 * A descriptor that holds the lock as long as it is open; -EBUSY: another
 * agent has it; -errno: it cannot be known. Printed.
 */
int agent_lock_take(const struct instance *instance);
/*
 * The agent's process; 0: of a container whose processes we do not see, or it
 * cannot be known; -1: there is none.
 */
pid_t agent_lock_owner(const struct instance *instance);

#endif
