/* SPDX-License-Identifier: GPL-2.0-only */
/* agent_guard.h - one agent an instance; who is it? */
#ifndef MASQ_AGENT_GUARD_H
#define MASQ_AGENT_GUARD_H

#include <sys/types.h>
#include "instance.h"

/* A descriptor that holds the guard as long as it is open, or -errno,
 * printed. */
int guard_take(const struct instance *instance);
/* It is readable: somebody asks for its owner. */
void guard_answer(int fd);
/*
 * The agent's process; 0: of a container whose processes we do not see;
 * -1: there is none.
 */
pid_t guard_owner(const struct instance *instance);

#endif
