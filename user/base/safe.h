/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * safe.h - names, paths and command lines are bytes that others chose. What is
 * printed of them is UTF-8 without control characters, so that it says nothing
 * to a terminal and is whole in JSON and in metrics. Everything else is shown
 * as \x1b, one for each byte.
 */
#ifndef MASQ_SAFE_H
#define MASQ_SAFE_H

#include <stddef.h>

/* Length of the UTF-8 sequence at s (RFC 3629) and its code point; 0: none. */
int safe_utf8(const char *s, unsigned int *code);
/* The same; 0 as well: it is not to be shown as it is. */
int safe_length(const char *s);
/* The harmless form of `text`; what has no room is left out. Returns buf. */
const char *safe_text(const char *text, char *buf, size_t len);
/*
 * The same for printf, 4095 bytes at the most: the text is good until
 * SAFE_SHOWN more are made.
 */
#define SAFE_SHOWN 8
const char *shown(const char *text);

#endif
