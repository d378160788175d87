/* SPDX-License-Identifier: GPL-2.0-only */
/* sysctl.h - what this network namespace is set to. Reads only. */
#ifndef MASQ_KERNEL_SYSCTL_H
#define MASQ_KERNEL_SYSCTL_H

/*
 * The number in /proc/sys/net/NAME, as it is not below 0. -ENOENT: this kernel has
 * no such setting, or not yet (a module's); or another -errno.
 */
long sysctl_net(const char *name);

#endif
