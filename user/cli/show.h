/* SPDX-License-Identifier: GPL-2.0-only */
/* show.h - what several commands print alike. */
#ifndef MASQ_CLI_SHOW_H
#define MASQ_CLI_SHOW_H

#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
#include "base/json.h"
#include "config/settings.h"

/* "10.44.0.5:443", "[fd00::5]:443" into END_STRLEN bytes; returns buf. */
#define END_STRLEN 64
const char *end_text(const struct addr *addr, uint16_t port, char *buf,
		     size_t len);
/* "KEY": ["10.0.0.0/8", ...] */
void json_cidrs(struct json *j, const char *key,
		const struct config_cidrs *list);

#endif
