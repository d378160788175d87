/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * chain_walk.h - what a nat table does to a packet that leaves the node,
 * told from its addresses alone, with ip-masq-agent's jump and without it.
 */
#ifndef MASQ_MASQCHAIN_WALK_H
#define MASQ_MASQCHAIN_WALK_H

#include "base/cidr.h"
#include "takeover/chain.h"

/* What a config has to do so that the packet is treated as it is now. */
enum walk_want {
	WALK_ANY, /* others translate it, with the jump and without */
	WALK_KEEP,
	WALK_MASQUERADE,
};

/* A rule that packets may get to, in the order of the table. */
struct walk_rule {
	const struct chain_rule *from;
	struct cidr src, dst; /* family 0: any */
	bool not_src, not_dst;
	const char *unsure; /* a condition that is no address; NULL: none */
	const char *target, *ports; /* "": no target; NULL: no --to-ports */
	const char
		*strange; /* what no config can say about it; NULL: nothing */
	bool is_goto;
	int chain; /* that it leads to; -1: the target is none */
};

struct walk;

/* 0 or -errno, printed. */
int walk_new(const struct masq_chain *chain, struct walk **out);
void walk_free(struct walk *walk);

/*
 * A packet of these addresses, hosts' prefixes. *rule: that settled it, or
 * NULL. -EINVAL: no config does what the table does; *rule stands in the way,
 * *why is static text or as old as the chain.
 */
int walk_packet(struct walk *walk, const struct cidr *src,
		const struct cidr *dst, const struct chain_rule **rule,
		const char **why);

/*
 * Where the rules' prefixes begin and end, sorted, the family's first address
 * included: all sources (or destinations) between two neighbours are treated
 * alike. 0 or -ENOMEM; to be freed.
 */
int walk_bounds(const struct walk *walk, bool sources, struct addr **out,
		size_t *count);

/*
 * The rules of the agent's own chain and of what it leads to, in order, until
 * `each` returns other than 0, which is returned.
 */
int walk_own_rules(const struct walk *walk,
		   int (*each)(void *data, const struct walk_rule *rule),
		   void *data);
/* The jumps to it in the same way; none where nothing jumps. */
int walk_jumps(const struct walk *walk,
	       int (*each)(void *data, const struct walk_rule *rule),
	       void *data);

#endif
