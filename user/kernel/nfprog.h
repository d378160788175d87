/* SPDX-License-Identifier: GPL-2.0-only */
/* nfprog.h - BPF programs on netfilter's hooks (kernel 6.4). Reads only. */
#ifndef MASQ_KERNEL_NFPROG_H
#define MASQ_KERNEL_NFPROG_H

/*
 * 1: a forwarded packet of this network namespace meets one. 0: none does, or
 * this kernel has no such programs. Or -errno: they cannot be looked at, which
 * takes CAP_BPF and CAP_PERFMON and the kernel's BTF. The program that looks is
 * loaded by the first call and kept.
 */
int nfprog_meets_forwarded(void);

#endif
