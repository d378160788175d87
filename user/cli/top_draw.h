/* SPDX-License-Identifier: GPL-2.0-only */
/* top_draw.h - what the live screen shows; top_screen.h has its keys. */
#ifndef MASQ_CLI_TOP_DRAW_H
#define MASQ_CLI_TOP_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include "cli/top.h"

#define HEAD_LINES   3
#define FOOT_LINES   1
#define ALL_SECTIONS TOP_SECTIONS /* which section is shown */

/* Pairs of ncurses. */
enum colour {
	PLAIN,
	NOTE,
	BAD
};

struct screen {
	struct top *top;
	double interval;
	int section; /* or ALL_SECTIONS */
	size_t scroll; /* of a single section */
	bool paused;
	bool helps; /* the keys are shown, until the next one */
	bool types; /* what is typed is a filter */
	char typed[sizeof(((struct top_filter *)0)->text)];
	bool again; /* look at once, paused or not */
};

void top_draw(struct screen *s);

#endif
