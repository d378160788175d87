/* SPDX-License-Identifier: GPL-2.0-only */
/* top_screen.h - the live screen. */
#ifndef MASQ_CLI_TOP_SCREEN_H
#define MASQ_CLI_TOP_SCREEN_H

#include "cli/cmd.h"
#include "cli/top.h"

/* Until a key or a signal ends it; a look each `interval` s. enum cmd_exit */
int run_screen(struct top *top, double interval);

#endif
