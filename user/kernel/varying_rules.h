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

struct varying_chain {
	char name[VARYING_WHERE]; /* with its family and table */
	uint8_t reached; /* VARYING_EARLY, _LATE */
	uint8_t followed;
};

struct varying_jump {
	char from[VARYING_WHERE];
	char to[VARYING_WHERE]; /* ends with '/': any chain of the table */
	bool behind; /* nothing that conntrack calls established gets there */
};

/* A rule, or a set, that varies. */
struct varying_rule {
	char chain[VARYING_WHERE]; /* "": a set */
	bool always; /* it counts whether such a packet gets there or not */
	bool behind;
	char what[VARYING_NAME];
};

/* A rule's own, of a name that lasts as long as the rule. */
struct varying_set {
	uint8_t family;
	char table[VARYING_TABLE], name[VARYING_TABLE];
};

struct varying_rules {
	struct varying_chain *chains;
	size_t chain_count;
	struct varying_jump *jumps;
	size_t jump_count;
	struct varying_rule *vary;
	size_t vary_count;
	struct varying_set *sets;
	size_t set_count;
	char closed[VARYING_WHERE]; /* chain that has had such an accept */
	bool tracked; /* some go by conntrack's states */
};

/* A new element, all 0; NULL with errno ENOMEM. */
struct varying_chain *varying_add_chain(struct varying_rules *rules);
struct varying_jump *varying_add_jump(struct varying_rules *rules);
struct varying_rule *varying_add_rule(struct varying_rules *rules);
struct varying_set *varying_add_set(struct varying_rules *rules);

/* The first that varies and is reached, or NULL. Sorts what is there. */
const struct varying_rule *varying_reached(struct varying_rules *rules);

void varying_rules_free(struct varying_rules *rules);

#endif
