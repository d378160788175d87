// SPDX-License-Identifier: GPL-2.0-only
/*
 * due.c - nothing that fails is given up: it is noted here, for the log,
 * the health, the metrics and `masqbpf status`, and it is tried again.
 */
#include <stdarg.h>
#include <string.h>
#include "agent/due.h"
#include "report/due.h"

/* A lock is let go of soon; what the kernel refuses may stay refused. */
#define FIRST_MS 1000
#define LAST_MS	 30000

bool agent_due(struct agent *a, enum masq_due_kind kind, const char *fmt, ...)
{
	char text[sizeof(a->due[0])];
	bool was_due = *a->due[kind];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(a->due[kind], text, sizeof(text));
	due_write(a->instance, kind, text);
	return !was_due;
}

bool agent_done(struct agent *a, enum masq_due_kind kind)
{
	if (!*a->due[kind])
		return false;
	a->due[kind][0] = '\0';
	due_write(a->instance, kind, NULL);
	return true;
}

uint64_t agent_backoff_ms(unsigned int failures)
{
	uint64_t ms = failures < 16
			      ? (uint64_t)FIRST_MS << (failures - !!failures)
			      : LAST_MS;

	return ms < LAST_MS ? ms : LAST_MS;
}
