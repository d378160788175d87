// SPDX-License-Identifier: GPL-2.0-only
/*
 * varying.c - rules that treat packets of one flow differently.
 *
 * A rule that no packet of an established flow gets to (it asks for SYN, FIN or
 * RST, or for a conntrack state that is not ESTABLISHED) is none of them, nor is
 * one in a chain that only the node's own packets meet, or of type nat, which
 * is asked about first packets alone.
 *
 * Nor is one that stands behind "established: accept" (or drop, return) of its
 * chain, the first rule of every NetworkPolicy: no packet of an established flow
 * gets past that, where conntrack has seen it. So this counts for chains that
 * are met behind conntrack alone (FORWARD and POSTROUTING), and only where no
 * rule keeps conntrack off a packet.
 */
#include <stdbool.h>
#include "kernel/iptables.h"
#include "kernel/varying.h"
#include "kernel/varying_iptables.h"
#include "kernel/varying_nft.h"

int varying_find(char *text, size_t len)
{
	/* may legacy iptables keep conntrack off packets? Only the table `raw` can,
	 * and whether it does is not looked at */
	bool untracked = iptables_has(4, "raw") == 1 ||
			 iptables_has(6, "raw") == 1;
	bool keeps = false;
	int err;

	*text = '\0';
	err = varying_nft(untracked, text, len, &keeps);
	return err ?:
	       varying_iptables(4, !untracked && !keeps, text, len) ?:
	       varying_iptables(6, !untracked && !keeps, text, len);
}
