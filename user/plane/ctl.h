/* SPDX-License-Identifier: GPL-2.0-only */
/* ctl.h - asks the programs for what only they can do or know. */
#ifndef MASQ_PLANE_CTL_H
#define MASQ_PLANE_CTL_H

#include "plane/maps.h"

/* Runs masq_ctl once; 0, or -errno of the call or of the request itself. */
int instance_ctl(struct instance *instance, struct masq_ctl *request);

#endif
