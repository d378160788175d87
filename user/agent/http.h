/* SPDX-License-Identifier: GPL-2.0-only */
/* http.h - what the agent answers. */
#ifndef MASQ_AGENT_HTTP_H
#define MASQ_AGENT_HTTP_H

#include "agent/state.h"

/* For http_new: agent is a struct agent. */
void agent_answer(void *agent, const char *path, struct http_reply *reply);

#endif
