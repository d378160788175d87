/* SPDX-License-Identifier: GPL-2.0-only */
/* fit.h - a running instance becomes what is wanted now, and no flow ends. */
#ifndef MASQ_PLANE_FIT_H
#define MASQ_PLANE_FIT_H

#include "plane/instance.h"

/*
 * Another size (maxFlows, room for prefixes, for IPv6): a new instance takes
 * over from this one (succeed.h). Other programs (of another version; counting
 * no flows; with the fast path): they are put in, on the same maps. Nothing at
 * all when all is as wanted. *instance is open for writing, locked, and stays
 * so. 1: it has other descriptors now; 0: nothing had to be done; -errno,
 * printed.
 */
int instance_fit(struct instance *instance,
		 const struct instance_options *want);
/* The same by whoever does it for this process (instance->fit). 0 or -errno. */
int instance_want(struct instance *instance,
		  const struct instance_options *want);

/*
 * Opens what is pinned now, where somebody else has done that to an instance
 * that is open here; `locked`: and goes on with what was not done to the end. 1:
 * it was so; 0: nothing has changed; -errno, printed.
 */
int instance_renew(struct instance *instance, bool locked);

#endif
