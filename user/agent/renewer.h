/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * renewer.h - the process that puts programs in which ask conntrack, once
 * nf_conntrack is there. Where that is a module it takes CAP_SYS_ADMIN, which
 * the helper does not have, and this one for nothing else: it hears one
 * question, of one byte.
 */
#ifndef MASQ_AGENT_RENEWER_H
#define MASQ_AGENT_RENEWER_H

#include "agent/state.h"

/*
 * Forks it where it can be of use and may be; a->renewer.fd is -1 otherwise, or
 * where it cannot be, which is said. It ends when that descriptor is closed.
 */
void renewer_start(struct agent *agent);
/* Asks it when its time has come, and waits as for the helper. */
void renewer_update(struct agent *agent);
/* When renewer_update is due; UINT64_MAX: never. */
uint64_t renewer_due_ms(const struct agent *agent);

#endif
