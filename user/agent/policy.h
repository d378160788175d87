/* SPDX-License-Identifier: GPL-2.0-only */
/* policy.h - the config file becomes the policy in force. */
#ifndef MASQ_AGENT_POLICY_H
#define MASQ_AGENT_POLICY_H

#include "agent/state.h"

/* At the start, and when the file has changed or `force` says so (SIGHUP). */
void agent_policy_begin(struct agent *agent);
void agent_policy_update(struct agent *agent, bool force);
/* What is due about the policy, when its time has come. */
void agent_policy_again(struct agent *agent);
/* Somebody still writes the file: it is not taken. */
void agent_policy_unfinished(struct agent *agent);

/* The file is the one that the guard took back: it is not taken. */
void agent_policy_refuse(struct agent *agent);

#endif
