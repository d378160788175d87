/* SPDX-License-Identifier: GPL-2.0-only */
/* passed.h - records of what passes untouched, for whoever wants to see it. */
#ifndef MASQ_PLANE_PASSED_H
#define MASQ_PLANE_PASSED_H

#include <stdbool.h>
#include "plane/instance.h"

/*
 * From now on, new flows of sources outside podCIDRs, and of IPv6 that is not
 * translated, get keep records of no prefix: until this turns it off, or
 * another policy comes into force. The lock is held. 0 or -errno.
 */
int passed_record(const struct instance *instance, bool on);
/* Is it on, and by which generation? False as well where that cannot be read. */
bool passed_is_recorded(const struct instance *instance, uint32_t *generation);

#endif
