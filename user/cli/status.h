/* SPDX-License-Identifier: GPL-2.0-only */
/* status.h - the state of an instance, for `status` and `attach --json`. */
#ifndef MASQ_STATUS_H
#define MASQ_STATUS_H

#include <stdbool.h>
#include "plane/instance.h"

int status_print(struct instance *instance, bool json); /* enum cmd_exit */

#endif
