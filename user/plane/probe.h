/* SPDX-License-Identifier: GPL-2.0-only */
/* probe.h - what this kernel can, of what there is a choice about. */
#ifndef MASQ_PLANE_PROBE_H
#define MASQ_PLANE_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include "masqbpf.h"

/* MASQ_FEAT_*: those that follow from the kernel alone. */
uint32_t probe_features(void);
/*
 * All of them. An instance ends with the kernel that it runs on, and what that
 * could do it can: a look that failed, or that takes rights which who asks has
 * not, is no reason for programs that do without. nf_conntrack is not gone
 * either: programs that ask it hold it.
 */
#define PROBED \
	(MASQ_FEAT_LOOP | MASQ_FEAT_FIB_SRC | MASQ_FEAT_FIB_MARK | MASQ_FEAT_CT)

/*
 * May a program read the kernel's memory (bpf_probe_read_kernel)? Not under
 * lockdown=confidentiality, and not loaded without CAP_PERFMON. True also for
 * who may load no program, and so cannot know.
 */
bool probe_kernel_memory(void);
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
/* Is that module there? */
bool probe_conntrack_module(void);

#endif
