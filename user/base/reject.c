// SPDX-License-Identifier: GPL-2.0-only
/* reject.c - how every parser of a value says no. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/reject.h"

int reject(char *err, size_t errlen, const char *fmt, ...)
{
	va_list ap;

	if (err && errlen) {
		va_start(ap, fmt);
		vsnprintf(err, errlen, fmt, ap);
		va_end(ap);
	}
	return -EINVAL;
}
