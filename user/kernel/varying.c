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
 * chain, the first rule of every NetworkPolicy, or behind a jump of all packets
 * to a chain with such an accept (drop): no packet of an established flow gets
 * past that. All of this counts in chains that are met behind conntrack, and
 * for packets that conntrack does call established: where rules go by its states
 * no others are given consent (MASQ_FAST_TRACKED).
 */
#include "kernel/ipset.h"
#include "kernel/varying.h"
#include "kernel/varying_iptables.h"
#include "kernel/varying_nft.h"

int varying_find(char *text, size_t len, bool *tracked)
{
	*text = '\0';
	ipset_forget();
	*tracked = false;
	return varying_nft(text, len, tracked)
		       ?: varying_iptables(4, text, len, tracked)
		       ?: varying_iptables(6, text, len, tracked);
}
