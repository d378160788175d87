/* SPDX-License-Identifier: GPL-2.0-only */
/* adopt.h - a dataplane that runs already, or what is left of one. */
#ifndef MASQ_PLANE_ADOPT_H
#define MASQ_PLANE_ADOPT_H

#include "plane/maps.h"

/*
 * Opens and checks every pin. 0 or -errno, printed but for -ENOENT: there is no
 * masq_meta, and so no instance. Nothing else is, least of all something that
 * this process cannot find while the instance runs.
 */
int instance_adopt(struct instance *instance);
/* What there is of one that is to be removed, of whatever layout. */
int instance_adopt_remains(struct instance *instance);

#endif
