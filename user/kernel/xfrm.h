/* SPDX-License-Identifier: GPL-2.0-only */
/* xfrm.h - the node's IPsec policies. Reads only. */
#ifndef MASQ_KERNEL_XFRM_H
#define MASQ_KERNEL_XFRM_H

/*
 * 1: there is a policy of what is forwarded that wants packets to have come by
 * IPsec, or one that a network card does by itself. 0: none, or a kernel without
 * IPsec. Or -errno.
 */
int xfrm_wants_forwarded(void);

#endif
