/* SPDX-License-Identifier: GPL-2.0-only */
/* cmd_check.h - a config as JSON, in parts that others print as well. */
#ifndef MASQ_CMD_CHECK_H
#define MASQ_CMD_CHECK_H

#include "base/json.h"
#include "config/config.h"

/* "KEY": ["10.0.0.0/8", ...] */
void json_cidrs(struct json *j, const char *key,
		const struct config_cidrs *list);

#endif
