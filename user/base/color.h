/* SPDX-License-Identifier: GPL-2.0-only */
/* color.h - colours of a terminal. */
#ifndef MASQ_BASE_COLOR_H
#define MASQ_BASE_COLOR_H

#include <stdio.h>

/* Colour only on a terminal, never with NO_COLOR; "" otherwise. */
const char *color_red(FILE *f);
const char *color_green(FILE *f);
const char *color_yellow(FILE *f);
const char *color_bold(FILE *f);
const char *color_off(FILE *f);

#endif
