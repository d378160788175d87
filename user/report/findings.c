// SPDX-License-Identifier: GPL-2.0-only
/* findings.c - the list of findings. */
#include <cap-ng.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include "base/log.h"
#include "report/findings.h"

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {
		[DOCTOR_OK] = "ok",	      [DOCTOR_NOTE] = "note",
		[DOCTOR_UNKNOWN] = "unknown", [DOCTOR_WARNING] = "warning",
		[DOCTOR_BAD] = "bad",
	};

	return names[level];
}

void doctor_add(struct doctor *d, enum doctor_level level, const char *check,
		const char *todo, const char *fmt, ...)
{
	struct doctor_finding finding = { .level = level, .check = check };
	struct doctor_finding *grown;
	va_list ap;
	int length;

	va_start(ap, fmt);
	length = vasprintf(&finding.what, fmt, ap);
	va_end(ap);
	finding.todo = todo ? strdup(todo) : NULL;
	grown = reallocarray(d->findings, d->count + 1, sizeof(*grown));
	if (grown)
		d->findings = grown;
	if (length < 0 || (todo && !finding.todo) || !grown) {
		log_error("doctor: %s: out of memory", check);
		return;
	}
	d->findings[d->count++] = finding;
}

void doctor_free_findings(struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->findings[i].what);
		free(d->findings[i].todo);
	}
	free(d->findings);
}

void doctor_free(struct doctor *d)
{
	doctor_free_findings(d);
	policy_free(d->policy);
	netdev_free(d->netdev);
	instance_close(d->instance);
}
