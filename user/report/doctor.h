/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor.h - what would make masqbpf useless or harmful on this node, each
 * with what to do about it. Looks only; changes nothing.
 */
#ifndef MASQ_DOCTOR_H
#define MASQ_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include "kernel/foreign.h"
#include "kernel/netdev.h"
#include "plane/flows.h"
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

/* The rounds; each adds at least one finding for each of its checks. */
void doctor_check_kernel(struct doctor *d, const char *pin_dir);
void doctor_check_foreign(struct doctor *d);
/* Of it the kernel's rules alone; how many are bad, -1: not known. */
int doctor_check_rules(struct doctor *d);
/* The same of rules that were found already. Needs no privileges. */
int doctor_judge_rules(struct doctor *d, const struct foreign_nat *nat);
void doctor_check_node(struct doctor *d);
void doctor_check_policy(struct doctor *d);

/*
 * Writes what somebody else needs to see (the findings, states, tables) into
 * one tar archive. 0 or -errno, printed.
 */
int doctor_report(const struct doctor *d, const char *pin_dir,
		  const char *path);

/* Are there pods' addresses in this range? By podCIDRs, else by flows. */
enum doctor_pods {
	PODS_NONE,
	PODS_UNKNOWN,
	PODS_INSIDE
};
enum doctor_pods doctor_pods_in(const struct doctor *d,
				const struct cidr *range);

#endif
