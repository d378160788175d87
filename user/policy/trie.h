/* SPDX-License-Identifier: GPL-2.0-only */
/* trie.h - edits of the idle half's trie, many at once. */
#ifndef MASQ_POLICY_TRIE_H
#define MASQ_POLICY_TRIE_H

#include "policy/work.h"

/* Is it a list of sources, which share the trie's entries? */
bool trie_is_source(uint8_t list);
/* Writes an entry, or removes it where value is NULL, once trie_flush is
 * called at the latest. 0 or -errno, printed, of what went before. */
int trie_edit(struct work *w, const struct cidr *cidr, uint8_t list,
	      const struct masq_lpm_value *value);
/* Makes the edits that wait. 0 or -errno, printed. */
int trie_flush(struct work *w);
/*
 * Writes every source entry: a packet's longest match has to answer for both
 * lists, so each value says which lists cover it. 0 or -errno, printed.
 */
int trie_write_sources(struct work *w);

#endif
