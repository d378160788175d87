/* SPDX-License-Identifier: GPL-2.0-only */
/* reject.h - how every parser of a value says no. */
#ifndef MASQ_REJECT_H
#define MASQ_REJECT_H

#include <stddef.h>

/* Puts one clause into err (which may be NULL); returns -EINVAL. */
int reject(char *err, size_t errlen, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
