/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * varying_rules.h - chains, the jumps between them, and which of their rules
 * varies: does a packet of an established flow get to one? See varying.h.
 */
#ifndef MASQ_VARYING_RULES_H
#define MASQ_VARYING_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARYING_NAME  64
#define VARYING_WHERE 160
#define VARYING_TABLE 256 /* NFT_NAME_MAXLEN */

#define VARYING_EARLY 0x1 /* reached from where conntrack has not been yet */
#define VARYING_LATE  0x2

#define VARYING_NONE  UINT32_MAX

struct varying_chain {
	char name[VARYING_WHERE]; /* with its family and table */
	uint8_t begins; /* a base chain: what `reached` is at first */
	uint8_t reached; /* VARYING_EARLY, _LATE */
	uint8_t followed;
	uint32_t count; /* of its rules that have been read */
	/* rules by their place in the chain, or VARYING_NONE: */
	uint32_t closed; /* no packet of an established flow gets past it */
	uint32_t left; /* the first by which one may go back to who jumped */
};

struct varying_jump {
	char from[VARYING_WHERE];
	char to[VARYING_WHERE]; /* ends with '/': any chain of the table */
	uint32_t place; /* in the chain `from` */
	bool behind; /* nothing that conntrack calls established gets there */
	bool sure; /* all that it calls established take it */
	uint32_t map; /* 1 + the place of the one that says where to, or 0 */
};

/* A map of verdicts that a rule goes by. */
struct varying_map {
	uint8_t family;
	char table[VARYING_TABLE], name[VARYING_TABLE];
	uint16_t generation; /* of the rules, when that rule was read */
};

/* A rule, or a set, that varies. */
struct varying_rule {
	char chain[VARYING_WHERE]; /* "": a set */
	uint32_t place; /* in the chain */
	bool always; /* it counts whether such a packet gets there or not */
	bool behind;
	bool turns; /* only where marks are saved and restored */
	char what[VARYING_NAME];
};

/* A rule's own, of a name that lasts as long as the rule; or one that packets
 * add to, as some rule says, whose elements have what that rule gives them. */
struct varying_set {
	uint8_t family;
	char table[VARYING_TABLE], name[VARYING_TABLE];
	uint16_t generation; /* of the rules, when it was read */
	bool own;
	bool vary; /* is not its own, and an element has a limit or the like */
	bool plain; /* its own: its keys have four bytes each and are no ranges */
	bool established; /* one of them is that state of conntrack's */
	int32_t verdict; /* and what a map says then */
};

struct varying_rules {
	struct varying_chain *chains;
	size_t chain_count;
	struct varying_jump *jumps;
	size_t jump_count;
	struct varying_map *maps;
	size_t map_count;
	struct varying_rule *vary;
	size_t vary_count;
	struct varying_set *sets;
	size_t set_count;
	uint8_t marks; /* VARYING_SAVES, _RESTORES: some do */
	bool sets_vary; /* one of those that packets add to does */
	bool tracked; /* some go by conntrack's states */
};

/* A new element, all 0; NULL with errno ENOMEM. */
struct varying_chain *varying_add_chain(struct varying_rules *rules);
struct varying_jump *varying_add_jump(struct varying_rules *rules);
struct varying_rule *varying_add_rule(struct varying_rules *rules);
struct varying_map *varying_add_map(struct varying_rules *rules);
struct varying_set *varying_add_set(struct varying_rules *rules);

/* Once all chains are known: sorts them, for what follows. */
void varying_sort_chains(struct varying_rules *rules);
/* NULL: it is not known. */
struct varying_chain *varying_find_chain(const struct varying_rules *rules,
					 const char *name);

/* NULL: it is none of those that are kept. */
const struct varying_set *varying_find_set(const struct varying_rules *rules,
					   uint8_t family, const char *table,
					   const char *name);

/* The first that varies and is reached, or NULL. Sorts what is there. */
const struct varying_rule *varying_reached(struct varying_rules *rules);

void varying_rules_free(struct varying_rules *rules);

#endif
