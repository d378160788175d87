/* SPDX-License-Identifier: GPL-2.0-only */
/* ward_flows.h - from the flow table to the judge. */
#ifndef MASQ_POLICY_WARD_FLOWS_H
#define MASQ_POLICY_WARD_FLOWS_H

#include "policy/ward_state.h"

/* Shows the judge what is there; `before`: what was answered until now. */
int ward_walk(struct ward *ward, bool before);
/* And what was answered before a reboot, if nothing newer is known. */
int ward_walk_baseline(struct ward *ward);

#endif
