/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor.h - the rounds: what would make masqbpf useless or harmful on this
 * node, each with what to do about it. Looks only; changes nothing.
 */
#ifndef MASQ_DOCTOR_H
#define MASQ_DOCTOR_H

#include "report/findings.h"

/* The rounds; each adds at least one finding for each of its checks. */
void doctor_check_kernel(struct doctor *d, const char *pin_dir);
/* What the programs of an instance that is open make use of. */
void doctor_check_programs(struct doctor *d);
void doctor_check_foreign(struct doctor *d);
void doctor_check_node(struct doctor *d);
void doctor_check_ipsec(struct doctor *d); /* by doctor_check_node */
void doctor_check_routes(struct doctor *d);
void doctor_check_policy(struct doctor *d);

/*
 * Writes what somebody else needs to see (the findings, states, tables) into
 * one tar archive. 0 or -errno, printed.
 */
int doctor_report(const struct doctor *d, const char *pin_dir,
		  const char *path);

#endif
