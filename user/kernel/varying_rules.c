// SPDX-License-Identifier: GPL-2.0-only
/* varying_rules.c - which chains packets of an established flow get to. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/varying_rules.h"
#include "kernel/varying_xt.h"

static void *grow(void *array, size_t *count, size_t size)
{
	char **at = array, *grown = reallocarray(*at, *count + 1, size);

	if (!grown) {
		errno = ENOMEM;
		return NULL;
	}
	*at = grown;
	return memset(grown + size * (*count)++, 0, size);
}

void varying_rules_free(struct varying_rules *rules)
{
	free(rules->chains);
	free(rules->jumps);
	free(rules->maps);
	free(rules->vary);
	free(rules->sets);
	*rules = (struct varying_rules){};
}

struct varying_chain *varying_add_chain(struct varying_rules *rules)
{
	return grow(&rules->chains, &rules->chain_count,
		    sizeof(*rules->chains));
}

struct varying_jump *varying_add_jump(struct varying_rules *rules)
{
	return grow(&rules->jumps, &rules->jump_count, sizeof(*rules->jumps));
}

struct varying_map *varying_add_map(struct varying_rules *rules)
{
	return grow(&rules->maps, &rules->map_count, sizeof(*rules->maps));
}

struct varying_rule *varying_add_rule(struct varying_rules *rules)
{
	return grow(&rules->vary, &rules->vary_count, sizeof(*rules->vary));
}

struct varying_set *varying_add_set(struct varying_rules *rules)
{
	return grow(&rules->sets, &rules->set_count, sizeof(*rules->sets));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct varying_chain *)a)->name,
		      ((const struct varying_chain *)b)->name);
}

static int by_from(const void *a, const void *b)
{
	return strcmp(((const struct varying_jump *)a)->from,
		      ((const struct varying_jump *)b)->from);
}

void varying_sort_chains(struct varying_rules *rules)
{
	if (rules->chain_count)
		qsort(rules->chains, rules->chain_count, sizeof(*rules->chains),
		      by_name);
}

struct varying_chain *varying_find_chain(const struct varying_rules *rules,
					 const char *name)
{
	struct varying_chain key;

	if (!rules->chain_count)
		return NULL;
	snprintf(key.name, sizeof(key.name), "%s", name);
	return bsearch(&key, rules->chains, rules->chain_count, sizeof(key),
		       by_name);
}

const struct varying_set *varying_find_set(const struct varying_rules *rules,
					   uint8_t family, const char *table,
					   const char *name)
{
	for (size_t i = 0; i < rules->set_count; i++) {
		const struct varying_set *set = &rules->sets[i];

		if (set->family == family && !strcmp(set->name, name) &&
		    !strcmp(set->table, table))
			return set;
	}
	return NULL;
}

static bool reach(struct varying_chain *to, uint8_t bits)
{
	bool new = bits & ~to->reached;

	to->reached |= bits;
	return new;
}

/* Are there packets for what stands there, of those that get to the chain? */
static uint8_t passing(const struct varying_chain *chain, uint32_t place,
		       bool behind)
{
	return behind || place > chain->closed ? chain->reached & VARYING_EARLY
					       : chain->reached;
}

/* Does no packet of an established flow come back from this chain? */
static bool keeps(const struct varying_chain *chain)
{
	return chain && chain->closed < chain->left;
}

/* What a chain keeps never gets to the rules behind the jump to it, and so on. */
static void close_all(struct varying_rules *rules)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < rules->jump_count; i++) {
			const struct varying_jump *jump = &rules->jumps[i];
			struct varying_chain *from;

			if (!jump->sure ||
			    !keeps(varying_find_chain(rules, jump->to)))
				continue;
			from = varying_find_chain(rules, jump->from);
			if (!from || from->closed <= jump->place)
				continue;
			from->closed = jump->place;
			more = true;
		}
	}
}

/* The first of `count` names, `size` bytes apart and sorted, that is not less. */
static size_t first_of(const char *names, size_t count, size_t size,
		       const char *name)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = (low + count) / 2;

		if (strcmp(names + size * middle, name) < 0)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/* Marks the chain, or all of a table's, that a jump leads to; true: one is new. */
static bool reach_all(struct varying_rules *rules, const char *to, uint8_t bits)
{
	size_t length = strlen(to);
	struct varying_chain *chain;
	bool new = false;

	if (length && to[length - 1] != '/') {
		chain = varying_find_chain(rules, to);
		return chain && reach(chain, bits);
	}
	for (size_t i = first_of(rules->chains->name, rules->chain_count,
				 sizeof(*rules->chains), to);
	     i < rules->chain_count; i++) {
		chain = &rules->chains[i];
		if (strncmp(chain->name, to, length) != 0)
			break;
		new |= reach(chain, bits);
	}
	return new;
}

/* Marks what the jumps from this chain lead to; true: something is new. */
static bool follow(struct varying_rules *rules,
		   const struct varying_chain *from)
{
	bool new = false;

	if (!rules->jump_count)
		return false;
	for (size_t i = first_of(rules->jumps->from, rules->jump_count,
				 sizeof(*rules->jumps), from->name);
	     i < rules->jump_count; i++) {
		const struct varying_jump *jump = &rules->jumps[i];

		if (strcmp(jump->from, from->name) != 0)
			break;
		new |= reach_all(rules, jump->to,
				 passing(from, jump->place, jump->behind));
	}
	return new;
}

static void follow_all(struct varying_rules *rules)
{
	bool more = true;

	if (rules->jump_count)
		qsort(rules->jumps, rules->jump_count, sizeof(*rules->jumps),
		      by_from);
	for (size_t i = 0; i < rules->chain_count; i++) {
		rules->chains[i].reached = rules->chains[i].begins;
		rules->chains[i].followed = 0;
	}
	while (more) {
		more = false;
		for (size_t i = 0; i < rules->chain_count; i++) {
			struct varying_chain *chain = &rules->chains[i];

			if (chain->followed == chain->reached)
				continue;
			chain->followed = chain->reached;
			more |= follow(rules, chain);
		}
	}
}

const struct varying_rule *varying_reached(struct varying_rules *rules)
{
	if (!rules->vary_count)
		return NULL;
	close_all(rules);
	follow_all(rules);
	for (size_t i = 0; i < rules->vary_count; i++) {
		const struct varying_rule *vary = &rules->vary[i];
		const struct varying_chain *chain =
			varying_find_chain(rules, vary->chain);

		if (vary->turns && ~rules->marks & VARYING_AGAIN)
			continue;
		if (vary->always ||
		    (chain && passing(chain, vary->place, vary->behind)))
			return vary;
	}
	return NULL;
}
