// SPDX-License-Identifier: GPL-2.0-only
/*
 * masqchain_config.c - the chain's rules as a config. What a config cannot
 * say is an error: half a policy is a wrong one.
 *
 * In a chain the first match decides, in a config the longest prefix. Where
 * an earlier rule covers all of a later one, the later never matched: it is
 * left out. A wider rule behind narrower ones means the same in both.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cidr.h"
#include "masqchain.h"
#include "out.h"

#define LINK_LOCAL4 "169.254.0.0/16"
#define LINK_LOCAL6 "fe80::/10"
#define CIDR_LIMIT  64
/* the default of snat.nodePortRange, which is never used */
#define NODE_MIN  30000
#define NODE_MAX  32767
#define MAX_PORTS 16

struct entry {
	struct cidr cidr;
	bool keep;
};

struct import {
	struct entry *dests;
	size_t dest_count;
	struct cidr *keep_sources, *pods;
	size_t keep_source_count, pod_count;
	struct {
		uint16_t lo, hi;
	} ports[MAX_PORTS];
	size_t port_count;
	bool ended[2]; /* IPv4, IPv6: everything else is masqueraded */
	bool all_ports; /* a MASQUERADE without --to-ports */
};

/* What a rule says, as far as we know its words. */
struct rule {
	struct cidr src, dst; /* family 0: any */
	const char *target, *ports;
	bool of_protocol;
};

static int unknown(const struct masq_chain *chain,
		   const struct chain_rule *rule, const char *why)
{
	log_error("%s: rule %u of %s cannot be said in a config: %s",
		  chain->tool, rule->number, rule->words[1], why);
	return -EINVAL;
}

static int read_rule(const struct masq_chain *chain,
		     const struct chain_rule *from, struct rule *rule)
{
	char err[160];

	*rule = (struct rule){};
	for (size_t i = 2; i < from->count; i++) {
		const char *word = from->words[i];
		const char *value = i + 1 < from->count ? from->words[i + 1]
							: "";

		/* upstream's jump has "! --dst-type LOCAL" */
		if (!strcmp(word, "!") && !strcmp(value, "--dst-type") &&
		    i + 2 < from->count &&
		    !strcmp(from->words[i + 2], "LOCAL")) {
			i += 2;
			continue;
		}
		if (!strcmp(word, "--random-fully"))
			continue;
		i++;
		if (!strcmp(word, "-d") || !strcmp(word, "-s")) {
			if (cidr_or_addr_parse(value,
					       word[1] == 'd' ? &rule->dst
							      : &rule->src,
					       err, sizeof(err)))
				return unknown(chain, from, err);
		} else if (!strcmp(word, "-j") || !strcmp(word, "-g")) {
			rule->target = value;
		} else if (!strcmp(word, "--to-ports")) {
			rule->ports = value;
		} else if (!strcmp(word, "-p")) {
			rule->of_protocol = true;
		} else if (strcmp(word, "-m") && strcmp(word, "--comment") &&
			   /* how upstream spreads over several port ranges */
			   strcmp(word, "--mode") &&
			   strcmp(word, "--probability")) {
			return unknown(chain, from, word);
		}
	}
	return rule->target ? 0 : unknown(chain, from, "no target");
}

static int add_cidr(struct cidr **list, size_t *count, const struct cidr *cidr)
{
	struct cidr *grown;

	for (size_t i = 0; i < *count; i++)
		if (!cidr_cmp(&(*list)[i], cidr))
			return 0;
	grown = reallocarray(*list, *count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[(*count)++] = *cidr;
	return 0;
}

static int add_dest(struct import *import, const struct cidr *cidr, bool keep)
{
	struct entry *grown;

	for (size_t i = 0; i < import->dest_count; i++)
		if (cidr_covers(&import->dests[i].cidr, cidr))
			return 0; /* never matched */
	grown = reallocarray(import->dests, import->dest_count + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	import->dests = grown;
	grown[import->dest_count++] = (struct entry){ *cidr, keep };
	return 0;
}

static int add_rule(struct import *import, const struct masq_chain *chain,
		    const struct chain_rule *from)
{
	bool masquerade, *ended = &import->ended[chain->family == 6];
	struct rule rule;
	char err[160];
	int ret = read_rule(chain, from, &rule);

	if (ret || *ended)
		return ret;
	masquerade = !strcmp(rule.target, "MASQUERADE");
	if (!masquerade && strcmp(rule.target, "RETURN") &&
	    strcmp(rule.target, "ACCEPT"))
		return unknown(chain, from, rule.target);
	if (rule.src.addr.family &&
	    (rule.dst.addr.family || masquerade || rule.of_protocol))
		return unknown(chain, from, "-s");
	if (rule.of_protocol && !(masquerade && rule.ports))
		return unknown(chain, from, "-p");
	if (rule.src.addr.family)
		return add_cidr(&import->keep_sources,
				&import->keep_source_count, &rule.src);
	if (rule.dst.addr.family)
		return add_dest(import, &rule.dst, !masquerade);
	if (!masquerade)
		return unknown(chain, from, "it ends the chain for everything");
	if (!rule.ports) {
		import->all_ports = !import->port_count;
		*ended = true;
		return 0;
	}
	if (import->port_count == MAX_PORTS)
		return unknown(chain, from, "too many port ranges");
	if (port_range_parse(rule.ports, &import->ports[import->port_count].lo,
			     &import->ports[import->port_count].hi, err,
			     sizeof(err)))
		return unknown(chain, from, err);
	import->port_count++;
	/* rules of other protocols and ranges follow */
	*ended = !rule.of_protocol;
	return 0;
}

/* Jumps that are limited to sources say which ones are pods. */
static int add_jumps(struct import *import, const struct masq_chain *chain)
{
	int err = 0;

	for (size_t i = 0; i < chain->jump_count && !err; i++) {
		struct rule rule;

		err = read_rule(chain, &chain->jumps[i], &rule);
		if (!err && (rule.dst.addr.family || rule.of_protocol))
			err = unknown(chain, &chain->jumps[i], "-d or -p");
		if (!err && rule.src.addr.family)
			err = add_cidr(&import->pods, &import->pod_count,
				       &rule.src);
	}
	return err;
}

/* --- writing ----------------------------------------------------------- */

static bool is(const struct cidr *cidr, const char *text)
{
	struct cidr other;

	return !cidr_parse(text, &other, NULL, 0) && !cidr_cmp(cidr, &other);
}

static bool is_link_local(const struct cidr *cidr)
{
	return is(cidr, LINK_LOCAL4) || is(cidr, LINK_LOCAL6);
}

static void write_dests(FILE *file, const struct import *import, bool keep)
{
	char text[CIDR_STRLEN];
	size_t count = 0;

	for (size_t i = 0; i < import->dest_count; i++) {
		const struct entry *e = &import->dests[i];

		/* the flags say it, and do not mind if it is said twice */
		if (e->keep != keep || (keep && is_link_local(&e->cidr)))
			continue;
		if (!count++)
			fprintf(file, "%s:\n",
				keep ? "nonMasqueradeCIDRs"
				     : "masqueradeCIDRs");
		fprintf(file, "  - \"%s\"\n",
			cidr_format(&e->cidr, text, sizeof(text)));
	}
	if (!count && keep)
		fprintf(file, "nonMasqueradeCIDRs: []\n");
	if (keep && count > CIDR_LIMIT)
		fprintf(file, "cidrLimit: %zu\n", count);
}

static void write_cidrs(FILE *file, const char *key, const struct cidr *cidrs,
			size_t count)
{
	char text[CIDR_STRLEN];

	if (count)
		fprintf(file, "%s:\n", key);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "  - \"%s\"\n",
			cidr_format(&cidrs[i], text, sizeof(text)));
}

static bool has_link_local(const struct import *import, const char *text)
{
	for (size_t i = 0; i < import->dest_count; i++)
		if (import->dests[i].keep && is(&import->dests[i].cidr, text))
			return true;
	return false;
}

static int by_port(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/*
 * One range: those that only the node ports part are one, since these are
 * never used anyway; of others the widest.
 */
static void write_ports(FILE *file, struct import *import)
{
	uint16_t lo = 0, hi = 0, best_lo = 0, best_hi = 0;
	bool parted = false;

	if (!import->port_count || import->all_ports)
		return;
	qsort(import->ports, import->port_count, sizeof(import->ports[0]),
	      by_port);
	for (size_t i = 0; i < import->port_count; i++) {
		uint16_t l = import->ports[i].lo, h = import->ports[i].hi;

		if (i && (l <= hi + 1 ||
			  (hi + 1 >= NODE_MIN && l - 1 <= NODE_MAX))) {
			hi = h > hi ? h : hi;
		} else {
			parted |= i > 0;
			lo = l;
			hi = h;
		}
		if (hi - lo >= best_hi - best_lo) {
			best_lo = lo;
			best_hi = hi;
		}
	}
	if (parted)
		fprintf(file, "# the chain has further ranges in --to-ports; "
			      "a config has one: the widest\n");
	fprintf(file, "snat:\n  portRange: %u-%u\n", best_lo, best_hi);
}

static void write_config(FILE *file, const struct masq_chains *chains,
			 struct import *import)
{
	for (size_t i = 0; i < chains->count; i++)
		fprintf(file, "# from chain %s of %s%s\n",
			chains->items[i].name, chains->items[i].tool,
			chains->items[i].jump_count
				? ""
				: ", to which nothing jumps");
	write_dests(file, import, true);
	write_dests(file, import, false);
	write_cidrs(file, "nonMasqueradeSrcCIDRs", import->keep_sources,
		    import->keep_source_count);
	write_cidrs(file, "podCIDRs", import->pods, import->pod_count);
	fprintf(file, "masqLinkLocal: %s\n",
		has_link_local(import, LINK_LOCAL4) ? "false" : "true");
	if (import->ended[1])
		fprintf(file, "masqLinkLocalIPv6: %s\nenableIPv6: true\n",
			has_link_local(import, LINK_LOCAL6) ? "false" : "true");
	write_ports(file, import);
}

int masq_chains_config(const struct masq_chains *chains, char **text,
		       struct config **config)
{
	struct import import = {};
	size_t length;
	char err[512];
	FILE *file;
	int ret = 0;

	for (size_t i = 0; i < chains->count && !ret; i++) {
		const struct masq_chain *chain = &chains->items[i];

		ret = add_jumps(&import, chain);
		for (size_t r = 0; r < chain->rule_count && !ret; r++)
			ret = add_rule(&import, chain, &chain->rules[r]);
		if (!ret && !import.ended[chain->family == 6] &&
		    !import.port_count) {
			log_error("%s: chain %s has no MASQUERADE for "
				  "everything else: a config always has",
				  chain->tool, chain->name);
			ret = -EINVAL;
		}
		import.ended[chain->family == 6] = true;
	}
	file = ret ? NULL : open_memstream(text, &length);
	if (file) {
		write_config(file, chains, &import);
		fclose(file);
		ret = config_parse(*text, length, "import", NULL, config, err,
				   sizeof(err));
		if (ret)
			log_error("%s", err);
	} else if (!ret) {
		ret = -ENOMEM;
	}
	free(import.dests);
	free(import.keep_sources);
	free(import.pods);
	return ret;
}
