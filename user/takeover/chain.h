/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * chain.h - ip-masq-agent's chain as iptables-save prints it, nft and
 * legacy, both families; and the config that says the same.
 */
#ifndef MASQ_MASQCHAIN_H
#define MASQ_MASQCHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/config.h"

#define MASQ_CHAIN_WORDS 64

/* One rule of iptables-save, as words: "-A", chain, ... */
struct chain_rule {
	char *words[MASQ_CHAIN_WORDS + 1]; /* NULL at the end */
	size_t count;
	unsigned int number; /* place in its chain, from 1 */
	bool cut; /* it has more or longer words than there is room for */
};

/* Any chain of a nat table. */
struct nat_chain {
	char *name;
	struct chain_rule *rules;
	size_t count;
};

/* The agent's chain in one nat table: nft or legacy, one family. */
struct masq_chain {
	const char *tool; /* "iptables-nft" ...: who changes it */
	uint8_t family;
	char name[32];
	struct nat_chain *table; /* all of it */
	size_t table_size;
	struct chain_rule *jumps; /* from POSTROUTING; the words are its */
	size_t jump_count;
};

struct masq_chains {
	struct masq_chain *items; /* one a family at most, all of one name */
	size_t count;
};

/*
 * name NULL: whichever of IP-MASQ-AGENT and IP-MASQ there is. Of several the
 * one that packets get to; -EEXIST when that leaves a choice, -ENOENT: none.
 * 0 or -errno, printed.
 */
int masq_chains_find(const char *name, struct masq_chains *out);
void masq_chains_free(struct masq_chains *chains);
/* Is that all that an iptables-save has printed, and nothing else? */
bool iptables_saved_whole(const char *saved);

/*
 * A config that treats every packet as the chains do, as text (to be freed),
 * checked by reading it. Where there is none, -EINVAL and the rule that stands
 * in the way. 0 or -errno, printed.
 */
int masq_chains_config(const struct masq_chains *chains, char **text,
		       struct config **config);

#endif
