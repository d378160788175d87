/* SPDX-License-Identifier: GPL-2.0-only */
/* meant.h - the name that somebody meant who typed another one. */
#ifndef MASQ_BASE_MEANT_H
#define MASQ_BASE_MEANT_H

#include <stdbool.h>

#define MEANT_MAX 64 /* longer names are nobody's mistake */

/*
 * Is `name` nearer to what was typed than the one before? *least begins as
 * UINT_MAX; what is further away than a third of its length is another word.
 */
bool meant_nearer(const char *typed, const char *name, unsigned int *least);

#endif
