/* SPDX-License-Identifier: GPL-2.0-only */
/* probe.h - what this kernel can, of what there is a choice about. */
#ifndef MASQ_PLANE_PROBE_H
#define MASQ_PLANE_PROBE_H

#include <stdint.h>

/* MASQ_FEAT_*: those that follow from the kernel alone. */
uint32_t probe_features(void);

/*
 * May a program ask conntrack? Its functions are in the kernel's BTF, or in
 * that of nf_conntrack once this module is loaded, which only CAP_SYS_ADMIN
 * can use.
 */
enum probe_ct {
	PROBE_CT_NONE,
	PROBE_CT_FORBIDDEN, /* there, and not for us */
	PROBE_CT_USABLE,
};
enum probe_ct probe_conntrack(void);

#endif
