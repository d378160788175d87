/* SPDX-License-Identifier: GPL-2.0-only */
/* findings.h - what was found, how bad it is, what to do about it. */
#ifndef MASQ_REPORT_FINDINGS_H
#define MASQ_REPORT_FINDINGS_H

#include <stddef.h>
#include "kernel/netdev.h"
#include "plane/instance.h"
#include "policy/policy.h"

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE, /* good to know */
	DOCTOR_UNKNOWN, /* it could not be found out, which is no "ok" */
	DOCTOR_WARNING, /* harms somebody, or will */
	DOCTOR_BAD, /* masqbpf is useless or harmful here */
};

struct doctor_finding {
	enum doctor_level level;
	const char *check;
	char *what;
	char *todo; /* NULL: nothing */
};

struct doctor {
	struct instance *instance; /* NULL: not attached */
	struct policy *policy; /* that runs, else the default preset's */
	struct netdev *netdev;
	struct doctor_finding *findings;
	size_t count;
};

/* Adds a finding; todo may be NULL. Out of memory it is lost, and said. */
void doctor_add(struct doctor *d, enum doctor_level level, const char *check,
		const char *todo, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
const char *doctor_level_name(enum doctor_level level);
void doctor_free(struct doctor *d);
/* The findings alone: where the rest is the caller's. */
void doctor_free_findings(struct doctor *d);

#endif
