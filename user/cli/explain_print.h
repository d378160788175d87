/* SPDX-License-Identifier: GPL-2.0-only */
/* explain_print.h - the answer, for people and as JSON. */
#ifndef MASQ_CLI_EXPLAIN_PRINT_H
#define MASQ_CLI_EXPLAIN_PRINT_H

#include "cli/explain.h"

void explain_print(const struct explain *e);
void explain_json(const struct explain *e);

#endif
