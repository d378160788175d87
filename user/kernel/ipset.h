/* SPDX-License-Identifier: GPL-2.0-only */
/* ipset.h - the sets that ipset has in this network namespace. Reads only. */
#ifndef MASQ_KERNEL_IPSET_H
#define MASQ_KERNEL_IPSET_H

/*
 * 1: there is a set that holds Ethernet addresses; 0: none; or -errno, also for
 * a kernel without ipset. Asked for where a rule has a set: then looking loads
 * no module. The answer is kept until ipset_forget().
 */
int ipset_has_macs(void);
void ipset_forget(void);

#endif
