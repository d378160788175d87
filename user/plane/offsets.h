/* SPDX-License-Identifier: GPL-2.0-only */
/* offsets.h - where the running kernel keeps what the fast path looks at. */
#ifndef MASQ_PLANE_OFFSETS_H
#define MASQ_PLANE_OFFSETS_H

#include "masqbpf.h"

/* From the kernel's BTF: all of *out, or 0 where it lacks one or has none. */
void offsets_find(struct masq_offsets *out);

#endif
