/* SPDX-License-Identifier: GPL-2.0-only */
/* status.h - the state of an instance, for `status` and `attach --json`. */
#ifndef MASQ_CLI_STATUS_H
#define MASQ_CLI_STATUS_H

#include <stdbool.h>
#include "report/health.h"

/* Reads it first; health.h says what the caller fills in. enum cmd_exit */
int status_print(struct health *health, bool json);

#endif
