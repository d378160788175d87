// SPDX-License-Identifier: GPL-2.0-only
/* chain_text.c - YAML, with a word about where it comes from. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cidr.h"
#include "base/safe.h"
#include "takeover/chain.h"
#include "takeover/chain_text.h"

#define LINK_LOCAL4 "169.254.0.0/16"
#define LINK_LOCAL6 "fe80::/10"
#define CIDR_LIMIT  64
/* the default of snat.nodePortRange, which is never used */
#define NODE_MIN 30000
#define NODE_MAX 32767

bool import_keeps(const struct import_family *family, const struct cidr *dst)
{
	const struct import_dest *best = NULL;

	for (size_t i = 0; i < family->dest_count; i++) {
		const struct import_dest *e = &family->dests[i];

		if (cidr_covers(&e->cidr, dst) &&
		    (!best || e->cidr.plen > best->cidr.plen))
			best = e;
	}
	return best && best->keep;
}

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
	const struct import_family *of = import->of;
	char text[CIDR_STRLEN];
	size_t count = 0;

	for (size_t i = 0; i < of[0].dest_count + of[1].dest_count; i++) {
		const struct import_dest *e =
			i < of[0].dest_count
				? &of[0].dests[i]
				: &of[1].dests[i - of[0].dest_count];

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

static void write_cidrs(FILE *file, const char *key, const struct cidrs *four,
			const struct cidrs *six)
{
	char text[CIDR_STRLEN];

	if (four->count + six->count)
		fprintf(file, "%s:\n", key);
	for (size_t i = 0; i < four->count + six->count; i++)
		fprintf(file, "  - \"%s\"\n",
			cidr_format(i < four->count
					    ? &four->items[i]
					    : &six->items[i - four->count],
				    text, sizeof(text)));
}

/* All of it is kept: then a flag may say so, too. */
static bool keeps_all(const struct import_family *family, const char *text)
{
	struct cidr range;

	if (cidr_parse(text, &range, NULL, 0) || !import_keeps(family, &range))
		return false;
	for (size_t i = 0; i < family->dest_count; i++)
		if (!family->dests[i].keep &&
		    cidr_covers(&range, &family->dests[i].cidr))
			return false;
	return true;
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
	fprintf(file, "snat:\n  portRange: %u-%u\n  strictPorts: true\n",
		best_lo, best_hi);
}

void import_write(FILE *file, const struct masq_chains *chains,
		  struct import *import)
{
	const struct import_family *of = import->of;
	bool has4 = false;

	for (size_t i = 0; i < chains->count; i++)
		fprintf(file, "# from chain %s of %s%s\n",
			shown(chains->items[i].name), chains->items[i].tool,
			chains->items[i].jump_count
				? ""
				: ", to which nothing jumps");
	for (size_t i = 0; i < chains->count; i++)
		has4 |= chains->items[i].family == 4;
	if (!has4)
		fprintf(file, "# there is none of IPv4 that packets get to:"
			      " nothing of it is masqueraded\n");
	write_dests(file, import, true);
	write_dests(file, import, false);
	write_cidrs(file, "nonMasqueradeSrcCIDRs", &of[0].keep_sources,
		    &of[1].keep_sources);
	write_cidrs(file, "podCIDRs", &of[0].pods, &of[1].pods);
	fprintf(file, "masqLinkLocal: %s\n",
		keeps_all(&of[0], LINK_LOCAL4) ? "false" : "true");
	if (import->has6)
		fprintf(file, "masqLinkLocalIPv6: %s\nenableIPv6: true\n",
			keeps_all(&of[1], LINK_LOCAL6) ? "false" : "true");
	write_ports(file, import);
}
