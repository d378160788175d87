/* SPDX-License-Identifier: GPL-2.0-only */
/* pods.h - whose addresses are these? */
#ifndef MASQ_REPORT_PODS_H
#define MASQ_REPORT_PODS_H

#include "report/findings.h"

/* Are there pods' addresses in this range? By podCIDRs, else by flows. */
enum doctor_pods {
	PODS_NONE,
	PODS_UNKNOWN,
	PODS_INSIDE
};
enum doctor_pods doctor_pods_in(const struct doctor *d,
				const struct cidr *range);
/* How bad it is that others translate a range. */
enum doctor_level doctor_level_of(enum doctor_pods pods);

#endif
