// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain_config.c - the chain's rules as a config that treats every packet
 * as they do. What a config cannot say is an error: half a policy is a wrong
 * one.
 *
 * In a chain the first match decides, in a config the longest prefix, and
 * sources are either kept whatever the destination or not looked at. The
 * config is made of the chain's own prefixes, then held against the walk of
 * the table for every source and every destination between two neighbouring
 * bounds. Where it differs, another is made from the outcome of these walks;
 * where there is none, the rule that stands in the way is named.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "base/cidr.h"
#include "base/log.h"
#include "takeover/chain.h"
#include "takeover/chain_others.h"
#include "takeover/chain_text.h"
#include "takeover/chain_walk.h"

/* One family's table, and what it does, by cells between bounds. */
struct table {
	struct import *import;
	struct import_family *family;
	const struct masq_chain *chain;
	struct walk *walk;
	struct addr *srcs, *dsts;
	size_t src_count, dst_count;
	uint8_t *wants; /* enum walk_want, by source, then destination */
	bool any_source; /* a jump that is not limited to some */
	bool ended; /* the rules behind are never got to */
};

static int refuse(const struct masq_chain *chain, const struct chain_rule *rule,
		  const char *why)
{
	char text[256] = "";

	for (size_t i = 2; i < rule->count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s%s", i > 2 ? " " : "", rule->words[i]);
	/* a comment may hold anything */
	for (char *c = text; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	log_error("%s: rule %u of %s cannot be said in a config: %s (%s)",
		  chain->tool, rule->number, rule->words[1], why, text);
	return -EINVAL;
}

static int add_cidr(struct cidrs *list, const struct cidr *cidr)
{
	struct cidr *grown;

	for (size_t i = 0; i < list->count; i++)
		if (!cidr_cmp(&list->items[i], cidr))
			return 0;
	grown = reallocarray(list->items, list->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->items = grown;
	grown[list->count++] = *cidr;
	return 0;
}

static int add_dest(struct import_family *family, const struct cidr *cidr,
		    bool keep)
{
	struct import_dest *grown;

	for (size_t i = 0; i < family->dest_count; i++)
		if (cidr_covers(&family->dests[i].cidr, cidr))
			return 0; /* never matched */
	grown = reallocarray(family->dests, family->dest_count + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	family->dests = grown;
	grown[family->dest_count++] = (struct import_dest){ *cidr, keep };
	return 0;
}

static struct cidr everything(uint8_t family)
{
	return (struct cidr){ .addr.family = family };
}

static void clear_family(struct import_family *family)
{
	free(family->dests);
	free(family->keep_sources.items);
	free(family->pods.items);
	*family = (struct import_family){};
}

/* --- by the rules' own prefixes ---------------------------------------- */

static int add_ports(struct table *t, const struct walk_rule *rule)
{
	struct import *import = t->import;
	char err[160];

	if (!rule->ports) {
		import->all_ports |= !import->port_count;
		return 0;
	}
	if (import->port_count == MAX_PORTS)
		return refuse(t->chain, rule->from, "too many port ranges");
	if (port_range_parse(rule->ports, &import->ports[import->port_count].lo,
			     &import->ports[import->port_count].hi, err,
			     sizeof(err)))
		return refuse(t->chain, rule->from, err);
	import->port_count++;
	return 0;
}

/* A rule of the agent's chain; what is not a plain one is left to the walks. */
static int add_rule(void *data, const struct walk_rule *rule)
{
	struct table *t = data;
	bool masquerade = !strcmp(rule->target, "MASQUERADE");
	struct cidr dst = rule->dst;
	int err = 0;

	if (t->ended || rule->strange)
		return 0;
	if (masquerade)
		err = add_ports(t, rule);
	else if (strcmp(rule->target, "RETURN") &&
		 strcmp(rule->target, "ACCEPT"))
		return 0;
	if (err || rule->unsure || rule->not_src || rule->not_dst)
		return err;
	if (rule->src.addr.family)
		return masquerade || dst.addr.family
			       ? 0
			       : add_cidr(&t->family->keep_sources, &rule->src);
	if (!dst.addr.family) {
		t->ended = true;
		if (masquerade)
			return 0;
		dst = everything(t->chain->family);
	}
	return add_dest(t->family, &dst, !masquerade);
}

/* Jumps that are all limited to sources say which ones are pods. */
static int add_jump(void *data, const struct walk_rule *rule)
{
	struct table *t = data;

	if (rule->src.addr.family && !rule->not_src)
		return add_cidr(&t->family->pods, &rule->src);
	t->any_source = true;
	return 0;
}

static int by_rules(struct table *t)
{
	const struct cidr all = everything(t->chain->family);
	int err = walk_own_rules(t->walk, add_rule, t)
			  ?: walk_jumps(t->walk, add_jump, t);

	if (!err && !t->ended) /* what the chain does not take */
		err = add_dest(t->family, &all, true);
	if (!err && t->any_source) {
		free(t->family->pods.items);
		t->family->pods = (struct cidrs){};
	}
	return err;
}

/* --- by what becomes of packets ---------------------------------------- */

static struct cidr host(const struct addr *addr)
{
	return cidr_of(addr, addr->family == 4 ? 32 : 128);
}

static enum walk_want want(const struct table *t, size_t src, size_t dst)
{
	return t->wants[src * t->dst_count + dst];
}

static int walk_cells(struct table *t)
{
	int err =
		walk_bounds(t->walk, true, &t->srcs, &t->src_count)
			?: walk_bounds(t->walk, false, &t->dsts, &t->dst_count);

	if (!err)
		t->wants = calloc(t->src_count, t->dst_count);
	if (err || !t->wants)
		return -ENOMEM;
	for (size_t s = 0; s < t->src_count; s++) {
		struct cidr src = host(&t->srcs[s]);

		for (size_t d = 0; d < t->dst_count; d++) {
			struct cidr dst = host(&t->dsts[d]);
			const struct chain_rule *rule;
			const char *why;
			int got = walk_packet(t->walk, &src, &dst, &rule, &why);

			if (got < 0)
				return refuse(t->chain, rule, why);
			t->wants[s * t->dst_count + d] = got;
		}
	}
	return 0;
}

static bool covered(const struct cidrs *list, const struct cidr *cidr)
{
	for (size_t i = 0; i < list->count; i++)
		if (cidr_covers(&list->items[i], cidr))
			return true;
	return false;
}

/* Does the config so far do what is wanted, everywhere? */
static bool is_exact(const struct table *t)
{
	const struct import_family *family = t->family;
	bool *keeps = calloc(t->dst_count, sizeof(*keeps)), exact = keeps;

	for (size_t d = 0; keeps && d < t->dst_count; d++) {
		struct cidr dst = host(&t->dsts[d]);

		keeps[d] = import_keeps(family, &dst);
	}
	for (size_t s = 0; exact && s < t->src_count; s++) {
		struct cidr src = host(&t->srcs[s]);
		bool kept =
			(family->pods.count && !covered(&family->pods, &src)) ||
			covered(&family->keep_sources, &src);

		for (size_t d = 0; d < t->dst_count; d++)
			exact &= want(t, s, d) == WALK_ANY ||
				 (want(t, s, d) == WALK_KEEP) ==
					 (kept || keeps[d]);
	}
	free(keeps);
	return exact;
}

/* The prefixes of the cells that are marked, as few as possible. */
static int cover(const struct addr *bounds, const bool *marks, size_t count,
		 struct cidr range, struct cidrs *out)
{
	struct cidr right = range;
	size_t low = 0, marked = 0, cells = 0;

	/* the cell that the range begins in, and those that begin in it */
	while (low + 1 < count && addr_cmp(&bounds[low + 1], &range.addr) <= 0)
		low++;
	for (size_t i = low; i < count; i++) {
		struct cidr at = host(&bounds[i]);

		if (i > low && !cidr_covers(&range, &at))
			break;
		cells++;
		marked += marks[i];
	}
	if (!marked)
		return 0;
	if (marked == cells)
		return add_cidr(out, &range);
	right.addr.a[range.plen / 32] |= htonl(0x80000000U >> range.plen % 32);
	right.plen = ++range.plen;
	return cover(bounds, marks, count, range, out)
		       ?: cover(bounds, marks, count, right, out);
}

/* The one rule for sources that stands in the way of all sources alike. */
static int refuse_source(const struct table *t, size_t src, size_t other,
			 size_t dst)
{
	const struct chain_rule *rule = NULL, *found = NULL;
	const size_t at[] = { src, other };
	const char *why;

	for (int i = 0; i < 2; i++) {
		struct cidr from = host(&t->srcs[at[i]]);
		struct cidr to = host(&t->dsts[dst]);

		walk_packet(t->walk, &from, &to, &rule, &why);
		for (size_t w = 2; rule && w < rule->count; w++)
			if (!strcmp(rule->words[w], "-s"))
				return refuse(
					t->chain, rule,
					"some sources have destinations of their own");
		found = rule ?: found;
	}
	for (size_t i = 0; i < t->chain->jump_count; i++)
		for (size_t w = 2; w < t->chain->jumps[i].count; w++)
			if (!strcmp(t->chain->jumps[i].words[w], "-s"))
				found = &t->chain->jumps[i];
	return refuse(t->chain, found,
		      "some sources have destinations of their own");
}

/* What is wanted of those sources for which anything is masqueraded. */
static int merge_rows(const struct table *t, uint8_t *merged, bool *looked_at)
{
	size_t first = t->src_count;

	for (size_t s = 0; s < t->src_count; s++) {
		for (size_t d = 0; d < t->dst_count; d++)
			looked_at[s] |= want(t, s, d) == WALK_MASQUERADE;
		if (!looked_at[s])
			continue;
		for (size_t d = 0; d < t->dst_count; d++) {
			enum walk_want w = want(t, s, d);

			if (w != WALK_ANY && merged[d] != WALK_ANY &&
			    w != merged[d])
				return refuse_source(t, first, s, d);
			if (w != WALK_ANY)
				merged[d] = w;
		}
		first = first < t->src_count ? first : s;
	}
	if (first == t->src_count) /* nothing is masqueraded for anybody */
		memset(merged, WALK_KEEP, t->dst_count);
	/* others as well, where it makes no difference: fewer sources to name */
	for (size_t s = 0; s < t->src_count; s++) {
		bool same = true;

		for (size_t d = 0; d < t->dst_count; d++)
			same &= want(t, s, d) != WALK_KEEP ||
				merged[d] != WALK_MASQUERADE;
		looked_at[s] |= same;
	}
	return 0;
}

static int set_dests(struct table *t, const uint8_t *merged)
{
	const struct cidr all = everything(t->chain->family);
	bool *marks = calloc(t->dst_count, sizeof(*marks));
	struct cidrs lists[2] = {}; /* masqueraded, kept */
	int err = marks ? 0 : -ENOMEM;
	bool keep;

	for (int k = 0; k < 2 && !err; k++) {
		bool last = false;

		for (size_t d = 0; d < t->dst_count; d++) {
			if (merged[d] != WALK_ANY)
				last = merged[d] == WALK_KEEP;
			marks[d] = last == k;
		}
		err = cover(t->dsts, marks, t->dst_count, all, &lists[k]);
	}
	/* all is masqueraded unless kept, or kept unless masqueraded */
	keep = lists[1].count <= lists[0].count + 1;
	for (size_t i = 0; i < lists[keep].count && !err; i++)
		err = add_dest(t->family, &lists[keep].items[i], keep);
	if (!err && !keep)
		err = add_dest(t->family, &all, true);
	free(lists[0].items);
	free(lists[1].items);
	free(marks);
	return err;
}

static int set_sources(struct table *t, bool *looked_at)
{
	const struct cidr all = everything(t->chain->family);
	struct cidrs pods = {}, others = {};
	int err = cover(t->srcs, looked_at, t->src_count, all, &pods);

	for (size_t s = 0; s < t->src_count; s++)
		looked_at[s] = !looked_at[s];
	err = err ?: cover(t->srcs, looked_at, t->src_count, all, &others);
	if (others.count > pods.count) {
		t->family->pods = pods;
		free(others.items);
	} else {
		t->family->keep_sources = others;
		free(pods.items);
	}
	return err;
}

static int by_cells(struct table *t)
{
	uint8_t *merged = calloc(t->dst_count, sizeof(*merged));
	bool *looked_at = calloc(t->src_count, sizeof(*looked_at));
	int err = merged && looked_at ? 0 : -ENOMEM;

	clear_family(t->family);
	if (!err)
		err = merge_rows(t, merged, looked_at);
	if (!err)
		err = set_dests(t, merged) ?: set_sources(t, looked_at);
	free(merged);
	free(looked_at);
	return err;
}

/* Does the chain translate anything of this range? Family 0: all. */
static bool takes(const void *data, const struct cidr *from)
{
	const struct table *t = data;

	for (size_t s = 0; s < t->src_count; s++) {
		struct cidr src = host(&t->srcs[s]);
		bool last = s + 1 == t->src_count;

		/* in the range, or the range begins in this one's cell */
		if (from->addr.family && !cidr_covers(from, &src) &&
		    (addr_cmp(&from->addr, &src.addr) < 0 ||
		     (!last && addr_cmp(&from->addr, &t->srcs[s + 1]) >= 0)))
			continue;
		for (size_t d = 0; d < t->dst_count; d++)
			if (want(t, s, d) == WALK_MASQUERADE)
				return true;
	}
	return false;
}

static int add_table(struct import *import, const struct masq_chain *chain)
{
	struct table t = {
		.import = import,
		.family = &import->of[chain->family == 6],
		.chain = chain,
	};
	int err = walk_new(chain, &t.walk)
			  ?: walk_cells(&t)
			  ?: chain_others(chain, takes, &t)
			  ?: by_rules(&t);

	if (!err && !is_exact(&t))
		err = by_cells(&t);
	if (!err && !is_exact(&t)) {
		log_error("%s: chain %s cannot be said in a config",
			  chain->tool, chain->name);
		err = -EINVAL;
	}
	import->has6 |= chain->family == 6;
	walk_free(t.walk);
	free(t.srcs);
	free(t.dsts);
	free(t.wants);
	return err;
}

int masq_chains_config(const struct masq_chains *chains, char **text,
		       struct config **config)
{
	const struct cidr four = everything(4);
	struct import import = {};
	bool has4 = false;
	size_t length;
	char err[CONFIG_ERRLEN];
	FILE *file;
	int ret = 0;

	for (size_t i = 0; i < chains->count && !ret; i++) {
		ret = add_table(&import, &chains->items[i]);
		has4 |= chains->items[i].family == 4;
	}
	/* a config always has IPv4: this chain leaves it alone */
	if (!ret && !has4)
		ret = add_dest(&import.of[0], &four, true);
	file = ret ? NULL : open_memstream(text, &length);
	if (file) {
		import_write(file, chains, &import);
		fclose(file);
		ret = config_parse(*text, length, "import", NULL, config, err,
				   sizeof(err));
		if (ret)
			log_errors(err);
	} else if (!ret) {
		ret = -ENOMEM;
	}
	clear_family(&import.of[0]);
	clear_family(&import.of[1]);
	return ret;
}
