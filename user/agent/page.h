/* SPDX-License-Identifier: GPL-2.0-only */
/* page.h - the page for people. */
#ifndef MASQ_AGENT_PAGE_H
#define MASQ_AGENT_PAGE_H

#include "agent/state.h"

/* 0 or -errno. */
int agent_page(struct agent *agent, FILE *file);

#endif
