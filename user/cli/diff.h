/* SPDX-License-Identifier: GPL-2.0-only */
/* diff.h - what a plan changes, for those that are no `plan`. */
#ifndef MASQ_CLI_DIFF_H
#define MASQ_CLI_DIFF_H

#include <stdio.h>
#include "base/json.h"
#include "policy/plan.h"

/* "+ 172.16.0.0/12  keep  (config FILE:3)" ..., settings, and each range whose
 * treatment flips. At most `max` lines of each kind; 0: all. */
void diff_print(FILE *file, const struct plan *plan, size_t max);
/* "changes": [{"prefix", "from", "to"}], "flips": [{"range", "from", "to"}] */
void diff_json(struct json *j, const struct plan *plan);

#endif
