/* SPDX-License-Identifier: GPL-2.0-only */
/* rules.h - others that translate in netfilter, judged. */
#ifndef MASQ_REPORT_RULES_H
#define MASQ_REPORT_RULES_H

#include "kernel/foreign.h"
#include "report/findings.h"

/*
 * Adds at least one finding; how many are bad, -1: not known. nat: rules that
 * were found already; NULL: they are read here, which needs CAP_NET_ADMIN.
 */
int rules_judge(struct doctor *d, const struct foreign_nat *nat);

#endif
