/* SPDX-License-Identifier: GPL-2.0-only */
/* probe.h - what this kernel can, of what there is a choice about. */
#ifndef MASQ_PLANE_PROBE_H
#define MASQ_PLANE_PROBE_H

#include <stdint.h>

/* MASQ_FEAT_*: those that follow from the kernel alone. */
uint32_t probe_features(void);

#endif
