/* SPDX-License-Identifier: GPL-2.0-only */
/* term.h - how wide is what is printed on? */
#ifndef MASQ_BASE_TERM_H
#define MASQ_BASE_TERM_H

#include <stdio.h>

/*
 * Columns of the terminal; of a file or a pipe what the variable COLUMNS says;
 * 0: as wide as anybody likes.
 */
int term_width(FILE *f);
/* Columns of a UTF-8 text on the screen: all but continuation bytes. */
int term_text_width(const char *s);

#endif
