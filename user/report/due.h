/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * due.h - what an agent could not do and will try again, as it stands in
 * masq_due for everybody who looks at the instance.
 */
#ifndef MASQ_DUE_H
#define MASQ_DUE_H

#include <stdbool.h>
#include "plane/instance.h"

/* "config", "interfaces" ...: enum masq_due_kind as a word. */
const char *due_name(enum masq_due_kind kind);
/* NULL: nothing is due any more. What cannot be written is only not seen. */
void due_write(const struct instance *instance, enum masq_due_kind kind,
	       const char *text);
/* Is it due, for an agent that is at work? Then what, and for how long. */
bool due_read(const struct instance *instance, enum masq_due_kind kind,
	      struct masq_due *out, double *seconds);

#endif
