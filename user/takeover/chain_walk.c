// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain_walk.c - what a nat table does to a packet that leaves the node.
 * Rules are followed as the kernel follows them; of a condition that addresses
 * do not decide (a mark, a protocol, an interface) both answers are, and all
 * that can come out is collected. Where only one thing can, it is certain.
 *
 * The walk is made twice, with the jump to the agent's chain and without it:
 * rules of others stay when the agent goes, and some of them may have had
 * nothing to do before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "takeover/chain_walk.h"

/* Chains within chains; the kernel allows no loop. */
#define MAX_DEPTH 64

/* What can become of a packet. */
enum end {
	END_KEEP, /* accepted, or no rule translates it */
	END_MASQUERADE, /* by the agent's chain */
	END_OTHERS, /* masqueraded by others: the same address */
	END_SNAT, /* by others, to whatever */
	END_STRANGE, /* something that no config says */
	ENDS
};

struct chain {
	const char *name;
	struct walk_rule *rules;
	size_t count;
	bool compiled, refers; /* to the agent's chain */
};

struct ending {
	bool can;
	const struct walk_rule *rule; /* NULL: the end of POSTROUTING */
	const struct walk_rule *unsure; /* that it hangs on */
};

struct walk {
	const struct masq_chain *from;
	struct chain *chains; /* as from->table */
	int post, own; /* POSTROUTING, the agent's */

	/* the packet that is under way */
	const struct cidr *src, *dst;
	bool with_jump;
	const struct walk_rule *under; /* an unsure jump */
	/* unsure returns: from the agent's chain, from others' */
	const struct walk_rule *returned, *returned_elsewhere;
	const struct walk_rule *left; /* by which it left the agent's chain */
	struct ending ends[ENDS];
};

/* --- rules ------------------------------------------------------------- */

static int chain_index(const struct walk *walk, const char *name)
{
	for (size_t i = 0; i < walk->from->table_size; i++)
		if (!strcmp(walk->from->table[i].name, name))
			return i;
	return -1;
}

static void read_prefix(struct walk_rule *rule, const char *word,
			const char *value, bool not )
{
	bool source = word[1] == 's';

	/* a mask with holes, a host's name */
	if (cidr_or_addr_parse(value, source ? &rule->src : &rule->dst, NULL,
			       0))
		rule->unsure = word;
	else if (source)
		rule->not_src = not ;
	else
		rule->not_dst = not ;
}

/* Words of a match that say nothing by themselves, with a value. */
static bool is_harmless(const char *word)
{
	return !strcmp(word, "-m") || !strcmp(word, "--comment") ||
	       !strcmp(word, "--mode");
}

static void read_words(struct walk_rule *rule)
{
	const struct chain_rule *from = rule->from;
	bool not = false;

	for (size_t i = 2; i < from->count; i++) {
		const char *word = from->words[i];
		const char *value = i + 1 < from->count ? from->words[i + 1]
							: "";

		if (!strcmp(word, "!")) {
			not = true;
			continue;
		}
		if (!strcmp(word, "-s") || !strcmp(word, "-d")) {
			read_prefix(rule, word, value, not );
			i++;
		} else if (!strcmp(word, "-j") || !strcmp(word, "-g")) {
			rule->target = value;
			rule->is_goto = word[1] == 'g';
			i++;
		} else if (!strcmp(word, "--to-ports")) {
			rule->ports = value;
			i++;
		} else if (is_harmless(word)) {
			i++;
		} else if (!strcmp(word, "--dst-type") &&
			   not &&!strcmp(value, "LOCAL")) {
			i++; /* what leaves the node is never local */
		} else if (*word == '-' && !*rule->target) {
			rule->unsure = word;
		}
		not = false;
	}
	if (from->cut) {
		rule->unsure = "it is too long";
		rule->target = "";
		rule->strange = rule->unsure;
	}
}

static bool is_any_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

/* Targets that only look, or write what has no say about addresses. */
static bool goes_on(const struct walk_rule *rule)
{
	static const char *const names[] = {
		"",	     "MARK",  "CONNMARK", "LOG",	 "NFLOG",
		"ULOG",	     "TRACE", "SECMARK",  "CONNSECMARK", "TTL",
		"HL",	     "DSCP",  "TOS",	  "CHECKSUM",	 "CLASSIFY",
		"IDLETIMER", "AUDIT", "LED",	  "RATEEST",	 NULL
	};

	return is_any_of(rule->target, names);
}

static bool is_verdict(const struct walk_rule *rule)
{
	static const char *const names[] = { "ACCEPT", "RETURN", "MASQUERADE",
					     "SNAT",   "NETMAP", NULL };

	return is_any_of(rule->target, names);
}

static int compile(struct walk *walk, int index, int depth);

static int compile_rule(struct walk *walk, struct chain *chain,
			struct walk_rule *rule, int depth)
{
	read_words(rule);
	rule->chain = is_verdict(rule) || goes_on(rule)
			      ? -1
			      : chain_index(walk, rule->target);
	chain->refers |= rule->chain == walk->own && rule->chain >= 0;
	if (rule->chain < 0 && !is_verdict(rule) && !goes_on(rule) &&
	    !rule->unsure)
		rule->unsure = rule->target; /* who knows what it does */
	/* ports that only some packets have */
	if (rule->ports && (rule->src.addr.family || rule->dst.addr.family))
		rule->strange = "--to-ports";
	return rule->chain < 0 ? 0 : compile(walk, rule->chain, depth + 1);
}

static int compile(struct walk *walk, int index, int depth)
{
	const struct nat_chain *from = &walk->from->table[index];
	struct chain *chain = &walk->chains[index];
	int err = 0;

	if (chain->compiled)
		return 0;
	if (depth > MAX_DEPTH)
		return -ELOOP;
	chain->compiled = true;
	chain->name = from->name;
	chain->rules = calloc(from->count + 1, sizeof(*chain->rules));
	if (!chain->rules)
		return -ENOMEM;
	for (size_t i = 0; i < from->count && !err; i++) {
		chain->rules[i] = (struct walk_rule){
			.from = &from->rules[i],
			.target = "",
		};
		chain->count++;
		err = compile_rule(walk, chain, &chain->rules[i], depth);
	}
	return err;
}

/* Only the jumps in POSTROUTING go away with the agent. */
static int check_references(const struct walk *walk)
{
	for (size_t i = 0; i < walk->from->table_size; i++) {
		const struct chain *chain = &walk->chains[i];

		if (!chain->refers || (int)i == walk->post)
			continue;
		log_error(
			"%s: chain %s leads to %s: only jumps from POSTROUTING can be taken over",
			walk->from->tool, chain->name, walk->from->name);
		return -EINVAL;
	}
	return 0;
}

int walk_new(const struct masq_chain *from, struct walk **out)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int err = -ENOMEM;

	if (walk) {
		walk->from = from;
		walk->post = chain_index(walk, "POSTROUTING");
		walk->own = chain_index(walk, from->name);
		walk->chains =
			calloc(from->table_size + 1, sizeof(*walk->chains));
		err = walk->chains ? 0 : -ENOMEM;
	}
	if (!err)
		err = compile(walk, walk->own, 0);
	if (!err && walk->post >= 0)
		err = compile(walk, walk->post, 0);
	if (err)
		log_error("%s: chain %s: %s", from->tool, from->name,
			  strerror(-err));
	err = err ?: check_references(walk);
	if (err) {
		walk_free(walk);
		return err;
	}
	*out = walk;
	return 0;
}

void walk_free(struct walk *walk)
{
	if (!walk)
		return;
	for (size_t i = 0; walk->chains && i < walk->from->table_size; i++)
		free(walk->chains[i].rules);
	free(walk->chains);
	free(walk);
}

/* --- packets ----------------------------------------------------------- */

static bool matches(const struct walk *walk, const struct walk_rule *rule)
{
	if (rule->src.addr.family &&
	    cidr_covers(&rule->src, walk->src) == rule->not_src)
		return false;
	return !rule->dst.addr.family ||
	       cidr_covers(&rule->dst, walk->dst) != rule->not_dst;
}

static void add_end(struct walk *walk, enum end end,
		    const struct walk_rule *rule)
{
	struct ending *ending = &walk->ends[end];
	const struct walk_rule *unsure = walk->under;

	if (!rule) /* the end of POSTROUTING */
		unsure = walk->returned;
	else if (rule->unsure)
		unsure = rule;
	/* what hung on something may be certain in the end */
	if (!ending->can || (ending->unsure && !unsure))
		*ending = (struct ending){ true, rule, unsure };
}

/* What a rule without chain of its own does; ENDS: it goes on behind it. */
static enum end end_of(const struct walk_rule *rule, bool own)
{
	if (rule->strange && own)
		return END_STRANGE;
	if (!strcmp(rule->target, "ACCEPT"))
		return END_KEEP;
	if (!strcmp(rule->target, "MASQUERADE"))
		return own ? END_MASQUERADE : END_OTHERS;
	/* SNAT, LOG: the chain is more than a choice of prefixes */
	if (own && *rule->target)
		return END_STRANGE;
	return goes_on(rule) ? ENDS : END_SNAT;
}

/* True: the packet may come out behind the chain. */
static bool follow(struct walk *walk, int index, bool own, bool base)
{
	const struct chain *chain = &walk->chains[index];
	bool out = false;

	for (size_t i = 0; i < chain->count; i++) {
		const struct walk_rule *rule = &chain->rules[i];
		const struct walk_rule *under = walk->under;
		enum end end;

		if (!matches(walk, rule))
			continue;
		if (rule->chain >= 0) {
			bool back;

			if (rule->chain == walk->own && !walk->with_jump)
				continue;
			if (rule->unsure)
				walk->under = rule;
			back = follow(walk, rule->chain,
				      own || rule->chain == walk->own, false);
			if (back && rule->is_goto && base)
				add_end(walk, END_KEEP, rule);
			walk->under = under;
			out |= back && rule->is_goto && !base;
			if (!rule->unsure && (!back || rule->is_goto))
				return out;
			continue;
		}
		if (!strcmp(rule->target, "RETURN") && !base) {
			out = true;
			if (own)
				walk->left = rule;
			if (!rule->unsure)
				return true;
			if (own)
				walk->returned = rule;
			else
				walk->returned_elsewhere = rule;
			continue;
		}
		if (!strcmp(rule->target, "RETURN"))
			end = END_KEEP;
		else
			end = end_of(rule, own);
		if (end == ENDS)
			continue;
		add_end(walk, end, rule);
		/* of what others have written we do not know whether it ends */
		if (end == END_SNAT && rule->unsure)
			add_end(walk, END_KEEP, rule);
		if (!rule->unsure && end != END_STRANGE)
			return out;
	}
	if (base)
		add_end(walk, END_KEEP, NULL);
	return true;
}

static void follow_all(struct walk *walk, bool with_jump)
{
	memset(walk->ends, 0, sizeof(walk->ends));
	walk->with_jump = with_jump;
	walk->under = walk->left = NULL;
	walk->returned = walk->returned_elsewhere = NULL;
	if (walk->from->jump_count) {
		follow(walk, walk->post, false, true);
		return;
	}
	/* nothing jumps there: as if one jump were all of POSTROUTING */
	if (!with_jump || follow(walk, walk->own, true, false))
		add_end(walk, END_KEEP, NULL);
}

/* Of the two that contradict each other: what both hang on. */
static const struct walk_rule *culprit(const struct walk *walk)
{
	const struct ending *keep = &walk->ends[END_KEEP];
	const struct ending *masq = &walk->ends[END_MASQUERADE];

	return keep->unsure		 ?: masq->unsure
	       ?: walk->returned	 ?: walk->returned_elsewhere
	       ?: masq->rule;
}

int walk_packet(struct walk *walk, const struct cidr *src,
		const struct cidr *dst, const struct chain_rule **rule,
		const char **why)
{
	struct ending before[ENDS];
	const struct walk_rule *by;
	bool masquerade;

	walk->src = src;
	walk->dst = dst;
	follow_all(walk, true);
	memcpy(before, walk->ends, sizeof(before));
	by = before[END_STRANGE].rule;
	if (before[END_STRANGE].can) {
		*why = by->strange ?: by->target;
		goto refuse;
	}
	masquerade = before[END_MASQUERADE].can;
	if (masquerade && before[END_KEEP].can) {
		by = culprit(walk);
		*why = by->unsure ?: "it is not certain what it does";
		goto refuse;
	}
	if (!masquerade && !before[END_KEEP].can) {
		*rule = NULL;
		return WALK_ANY;
	}
	by = before[masquerade ? END_MASQUERADE : END_KEEP].rule ?: walk->left;
	follow_all(walk, false);
	for (enum end end = masquerade ? END_SNAT : END_OTHERS; end <= END_SNAT;
	     end++) {
		if (!walk->ends[end].can || before[end].can)
			continue;
		by = walk->ends[end].rule;
		*why = "it would translate what the chain takes now";
		goto refuse;
	}
	*rule = by ? by->from : NULL;
	return masquerade ? WALK_MASQUERADE : WALK_KEEP;
refuse:
	*rule = by->from;
	return -EINVAL;
}

/* --- bounds ------------------------------------------------------------ */

static int compare_addrs(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

/* The first address behind a prefix; false: there is none. */
static bool behind(const struct cidr *cidr, struct addr *out)
{
	*out = cidr->addr;
	for (int bit = cidr->plen; bit--;) {
		uint32_t mask = htonl(0x80000000U >> bit % 32);

		out->a[bit / 32] ^= mask;
		if (out->a[bit / 32] & mask)
			return true; /* nothing to carry */
	}
	return false;
}

int walk_bounds(const struct walk *walk, bool sources, struct addr **out,
		size_t *count)
{
	size_t room = 1, used = 0, kept = 0;
	struct addr *bounds;

	for (size_t i = 0; i < walk->from->table_size; i++)
		room += 2 * walk->chains[i].count;
	bounds = calloc(room, sizeof(*bounds));
	if (!bounds)
		return -ENOMEM;
	bounds[used++].family = walk->from->family;
	for (size_t i = 0; i < walk->from->table_size; i++) {
		for (size_t r = 0; r < walk->chains[i].count; r++) {
			const struct walk_rule *rule =
				&walk->chains[i].rules[r];
			const struct cidr *cidr = sources ? &rule->src
							  : &rule->dst;

			if (cidr->addr.family != walk->from->family)
				continue;
			bounds[used++] = cidr->addr;
			used += behind(cidr, &bounds[used]);
		}
	}
	qsort(bounds, used, sizeof(*bounds), compare_addrs);
	for (size_t i = 0; i < used; i++)
		if (!i || !addr_equal(&bounds[i], &bounds[kept - 1]))
			bounds[kept++] = bounds[i];
	*out = bounds;
	*count = kept;
	return 0;
}

/* --- for who looks at the rules themselves ----------------------------- */

static int each_rule(const struct walk *walk, int index,
		     int (*each)(void *data, const struct walk_rule *rule),
		     void *data)
{
	const struct chain *chain = &walk->chains[index];
	int ret = 0;

	for (size_t i = 0; i < chain->count && !ret; i++) {
		const struct walk_rule *rule = &chain->rules[i];

		ret = rule->chain < 0
			      ? each(data, rule)
			      : each_rule(walk, rule->chain, each, data);
	}
	return ret;
}

int walk_own_rules(const struct walk *walk,
		   int (*each)(void *data, const struct walk_rule *rule),
		   void *data)
{
	return each_rule(walk, walk->own, each, data);
}

int walk_jumps(const struct walk *walk,
	       int (*each)(void *data, const struct walk_rule *rule),
	       void *data)
{
	const struct chain *post = walk->post < 0 ? NULL
						  : &walk->chains[walk->post];
	int ret = 0;

	for (size_t i = 0; post && i < post->count && !ret; i++)
		if (post->rules[i].chain == walk->own)
			ret = each(data, &post->rules[i]);
	return ret;
}
