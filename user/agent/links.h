/* SPDX-License-Identifier: GPL-2.0-only */
/* links.h - interfaces and addresses are what they are meant to be. */
#ifndef MASQ_AGENT_LINKS_H
#define MASQ_AGENT_LINKS_H

#include "agent/state.h"

/* Brings interfaces and addresses to what they should be. */
int agent_links_watch(void); /* a netlink socket, or -errno */
void agent_links_events(struct agent *agent);
void agent_links_update(struct agent *agent);

#endif
