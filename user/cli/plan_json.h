/* SPDX-License-Identifier: GPL-2.0-only */
/* plan_json.h - a plan as JSON. */
#ifndef MASQ_CLI_PLAN_JSON_H
#define MASQ_CLI_PLAN_JSON_H

#include "cli/plan_probe.h"

/* On stdout. `live`: flows were looked for. probe: NULL for none. */
void plan_json(const struct plan *plan, bool live,
	       const struct plan_probe *probe);

#endif
