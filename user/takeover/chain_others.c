// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain_others.c - rules of nf_tables and of legacy iptables, of which the
 * chain's own table is walked elsewhere. Of the others no more is known than
 * the sources that they are limited to; a masquerade has the address that we
 * would choose.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include "base/log.h"
#include "kernel/foreign.h"
#include "takeover/chain_others.h"

static bool is_own(const struct foreign_rule *rule,
		   const struct masq_chain *chain)
{
	const bool six = chain->family == 6;

	/* the tool may be any of both where it has the plain name */
	return (!strstr(chain->tool, "-legacy") &&
		!strcmp(rule->where, six ? "nft ip6 nat" : "nft ip nat")) ||
	       (!strstr(chain->tool, "-nft") &&
		!strcmp(rule->where,
			six ? "ip6tables-legacy nat" : "iptables-legacy nat"));
}

static bool is_rival(const struct foreign_rule *rule,
		     const struct masq_chain *chain)
{
	uint8_t source = rule->source.addr.family;

	return rule->reached && strcasecmp(rule->what, "masquerade") &&
	       (!rule->family || rule->family == chain->family) &&
	       (!source || source == chain->family) && !is_own(rule, chain);
}

int chain_others(const struct masq_chain *chain,
		 bool (*takes)(const void *data, const struct cidr *from),
		 const void *data)
{
	struct foreign_nat nat;
	int err = foreign_nat_find(&nat) ?: nat.unreadable;

	if (err)
		log_error("%s: cannot read the rules of other tables: %s",
			  chain->tool, strerror(-err));
	for (size_t i = 0; i < nat.count && !err; i++) {
		const struct foreign_rule *rule = &nat.rules[i];

		if (!is_rival(rule, chain) || !takes(data, &rule->source))
			continue;
		log_error(
			"%s, chain %s: %s cannot be said in a config: it would translate what %s takes now",
			rule->where, rule->chain, rule->what, chain->name);
		err = -EINVAL;
	}
	foreign_nat_free(&nat);
	return err;
}
