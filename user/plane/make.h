/* SPDX-License-Identifier: GPL-2.0-only */
/* make.h - a dataplane that was not there before. */
#ifndef MASQ_PLANE_MAKE_H
#define MASQ_PLANE_MAKE_H

#include "plane/maps.h"

/* What it is going to be, into instance->meta. 0 or -errno, printed. */
int instance_plan(struct instance *instance,
		  const struct instance_options *options);
/*
 * Loads and pins it, in the directory that is locked already. 0 or -errno,
 * printed; then nothing is left of it.
 */
int instance_make(struct instance *instance,
		  const struct instance_options *options);

#endif
