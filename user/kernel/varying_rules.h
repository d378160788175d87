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

#define VARYING_EARLY 0x1 /* reached from where conntrack may not have been */
#define VARYING_LATE  0x2

struct varying_chain {
	char name[VARYING_WHERE]; /* with its family and table */
	uint8_t reached; /* VARYING_EARLY, _LATE */
	uint8_t followed;
};

struct varying_jump {
	char from[VARYING_WHERE];
	char to[VARYING_WHERE]; /* ends with '/': any chain of the table */
	bool behind; /* an accept of what is established */
};

/* A rule, or a set, that varies. */
struct varying_rule {
	char chain[VARYING_WHERE]; /* "": reached in any case */
	bool behind;
	char what[VARYING_NAME];
};

struct varying_rules {
	struct varying_chain *chains;
	size_t chain_count;
	struct varying_jump *jumps;
	size_t jump_count;
	struct varying_rule *vary;
	size_t vary_count;
	char closed[VARYING_WHERE]; /* chain that has had such an accept */
	bool untracked; /* conntrack is kept off packets */
};

/* A new element, all 0; NULL with errno ENOMEM. */
struct varying_chain *varying_add_chain(struct varying_rules *rules);
struct varying_jump *varying_add_jump(struct varying_rules *rules);
struct varying_rule *varying_add_rule(struct varying_rules *rules);

/* The first that varies and is reached, or NULL. Sorts what is there. */
const struct varying_rule *varying_reached(struct varying_rules *rules);

void varying_rules_free(struct varying_rules *rules);

#endif
