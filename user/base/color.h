/* SPDX-License-Identifier: GPL-2.0-only */
/* color.h - colours of a terminal. */
#ifndef MASQ_BASE_COLOR_H
#define MASQ_BASE_COLOR_H

#include <stdbool.h>
#include <stdio.h>

/* When there are colours; at first COLOR_AUTO. */
enum color_when {
	COLOR_AUTO, /* on a terminal, and not with NO_COLOR */
	COLOR_ALWAYS,
	COLOR_NEVER,
};

/* "auto", "always", "never". False: none of them. */
bool color_choose(const char *when);
/* Does this stream get colours? */
bool color_is_on(FILE *f);

/* "" where there are none. */
const char *color_red(FILE *f);
const char *color_green(FILE *f);
const char *color_yellow(FILE *f);
const char *color_bold(FILE *f);
const char *color_off(FILE *f);

#endif
