// SPDX-License-Identifier: GPL-2.0-only
/* foreign.c - rules that write sources, of nf_tables and of legacy iptables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* before linux/if.h, which then leaves out what is the same */
#include <net/if.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include "kernel/foreign.h"
#include "kernel/iptables.h"
#include "kernel/netlink.h"
#include "kernel/nft.h"

static void set(char *out, size_t len, const char *text)
{
	snprintf(out, len, "%s", text);
}

static struct foreign_rule *add_rule(struct foreign_nat *nat)
{
	struct foreign_rule *grown =
		reallocarray(nat->rules, nat->count + 1, sizeof(*grown));

	if (!grown)
		return NULL;
	nat->rules = grown;
	grown += nat->count++;
	*grown = (struct foreign_rule){};
	return grown;
}

/* A target of iptables that writes sources; NETMAP does so on the way out. */
static bool is_target(const char *name, bool destinations)
{
	return !strcmp(name, "MASQUERADE") || !strcmp(name, "SNAT") ||
	       (!strcmp(name, "NETMAP") && !destinations);
}

/* --- nf_tables --------------------------------------------------------- */

/* A chain that packets get to. */
struct reached {
	uint8_t family;
	char table[64];
	char chain[64]; /* "": any of the table may be, a map leads there */
};

struct nft {
	struct foreign_nat *nat;
	size_t first; /* rule of nat that is ours */
	struct reached *reached;
	size_t reached_count;
};

static int add_reached(struct nft *nft, uint8_t family, const char *table,
		       const char *chain)
{
	struct reached *grown = reallocarray(
		nft->reached, nft->reached_count + 1, sizeof(*grown));

	if (!grown) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	nft->reached = grown;
	grown += nft->reached_count++;
	grown->family = family;
	set(grown->table, sizeof(grown->table), table);
	set(grown->chain, sizeof(grown->chain), chain ?: "");
	return MNL_CB_OK;
}

/* What an expression of a rule says; `rule` collects. */
struct nft_rule {
	struct foreign_rule rule;
	struct nft *nft;
	const char *table, *chain;
	bool at_source; /* the register holds the source address */
	uint8_t length; /* of it, in bytes */
	uint8_t family;
};

static void read_payload(struct nft_rule *r, const struct nlattr **attrs)
{
	uint32_t offset = netlink_be32(attrs[NFTA_PAYLOAD_OFFSET]);
	uint32_t length = netlink_be32(attrs[NFTA_PAYLOAD_LEN]);

	r->at_source = netlink_be32(attrs[NFTA_PAYLOAD_BASE]) ==
			       NFT_PAYLOAD_NETWORK_HEADER &&
		       ((offset == 12 && length <= 4) ||
			(offset == 8 && length <= 16 && length > 4));
	r->length = length;
	/* written to a packet, without conntrack: `ip saddr set` */
	if (r->at_source && attrs[NFTA_PAYLOAD_SREG])
		set(r->rule.what, sizeof(r->rule.what), "saddr set");
}

static void read_mask(struct nft_rule *r, const struct nlattr **attrs)
{
	const struct nlattr *mask[NETLINK_ATTRS] = {};
	const uint8_t *bytes;
	unsigned int plen = 0;

	if (!r->at_source || !attrs[NFTA_BITWISE_MASK])
		return;
	mnl_attr_parse_nested(attrs[NFTA_BITWISE_MASK], netlink_collect, mask);
	if (!mask[NFTA_DATA_VALUE])
		return;
	bytes = mnl_attr_get_payload(mask[NFTA_DATA_VALUE]);
	while (plen < 8U * mnl_attr_get_payload_len(mask[NFTA_DATA_VALUE]) &&
	       bytes[plen / 8] & 0x80 >> plen % 8)
		plen++;
	r->rule.source.plen = plen;
}

static void read_compare(struct nft_rule *r, const struct nlattr **attrs)
{
	const struct nlattr *value[NETLINK_ATTRS] = {};
	uint8_t plen = r->rule.source.plen ?: 8 * r->length;

	if (r->at_source && netlink_be32(attrs[NFTA_CMP_OP]) == NFT_CMP_EQ &&
	    attrs[NFTA_CMP_DATA]) {
		mnl_attr_parse_nested(attrs[NFTA_CMP_DATA], netlink_collect,
				      value);
		if (value[NFTA_DATA_VALUE] &&
		    mnl_attr_get_payload_len(value[NFTA_DATA_VALUE]) <= 16) {
			struct addr addr = { r->length > 4 ? 6 : 4, {} };

			memcpy(addr.a,
			       mnl_attr_get_payload(value[NFTA_DATA_VALUE]),
			       mnl_attr_get_payload_len(
				       value[NFTA_DATA_VALUE]));
			r->rule.source = cidr_of(&addr, plen);
		}
	}
	r->at_source = false;
}

/* A jump makes its target reached. */
static int read_verdict(struct nft_rule *r, const struct nlattr *data)
{
	const struct nlattr *verdict[NETLINK_ATTRS];

	if (!nft_verdict(data, verdict) || !verdict[NFTA_VERDICT_CHAIN])
		return MNL_CB_OK;
	return add_reached(r->nft, r->family, r->table,
			   netlink_str(verdict[NFTA_VERDICT_CHAIN]));
}

static int read_expression(const struct nlattr *element, void *data)
{
	const struct nlattr *attrs[NETLINK_ATTRS];
	const char *name = nft_expression(element, attrs);
	struct nft_rule *r = data;

	if (!name)
		return MNL_CB_OK;
	if (!strcmp(name, "payload"))
		read_payload(r, attrs);
	else if (!strcmp(name, "bitwise"))
		read_mask(r, attrs);
	else if (!strcmp(name, "cmp"))
		read_compare(r, attrs);
	else if (!strcmp(name, "masq"))
		set(r->rule.what, sizeof(r->rule.what), "masquerade");
	else if (!strcmp(name, "nat") &&
		 netlink_be32(attrs[NFTA_NAT_TYPE]) == NFT_NAT_SNAT)
		set(r->rule.what, sizeof(r->rule.what), "snat");
	else if (!strcmp(name, "target") && attrs[NFTA_TARGET_NAME] &&
		 is_target(netlink_str(attrs[NFTA_TARGET_NAME]),
			   !strcmp(r->chain, "PREROUTING") ||
				   !strcmp(r->chain, "OUTPUT")))
		set(r->rule.what, sizeof(r->rule.what),
		    netlink_str(attrs[NFTA_TARGET_NAME]));
	else if (!strcmp(name, "immediate") && attrs[NFTA_IMMEDIATE_DATA])
		return read_verdict(r, attrs[NFTA_IMMEDIATE_DATA]);
	else if (!strcmp(name, "lookup") &&
		 netlink_be32(attrs[NFTA_LOOKUP_DREG]) == NFT_REG_VERDICT)
		return add_reached(r->nft, r->family, r->table, NULL);
	return MNL_CB_OK;
}

static void set_where(char *out, size_t len, uint8_t family, const char *table)
{
	snprintf(out, len, "nft %s %s", nft_family(family) ?: "?", table);
}

static int read_rule(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct nft *nft = data;
	struct nft_rule r = { .nft = nft, .family = head->nfgen_family };
	struct foreign_rule *rule;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_RULE_TABLE] || !attrs[NFTA_RULE_CHAIN] ||
	    !attrs[NFTA_RULE_EXPRESSIONS])
		return MNL_CB_OK;
	r.table = netlink_str(attrs[NFTA_RULE_TABLE]);
	r.chain = netlink_str(attrs[NFTA_RULE_CHAIN]);
	if (mnl_attr_parse_nested(attrs[NFTA_RULE_EXPRESSIONS], read_expression,
				  &r) == MNL_CB_ERROR)
		return MNL_CB_ERROR;
	if (!*r.rule.what)
		return MNL_CB_OK;
	rule = add_rule(nft->nat);
	if (!rule) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	*rule = r.rule;
	rule->family = r.family == NFPROTO_IPV4	  ? 4
		       : r.family == NFPROTO_IPV6 ? 6
						  : 0;
	set(rule->chain, sizeof(rule->chain), r.chain);
	set_where(rule->where, sizeof(rule->where), r.family, r.table);
	return MNL_CB_OK;
}

/* A base chain is reached from its hook. */
static int read_chain(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_CHAIN_HOOK] || !attrs[NFTA_CHAIN_TABLE] ||
	    !attrs[NFTA_CHAIN_NAME])
		return MNL_CB_OK;
	return add_reached(data, head->nfgen_family,
			   netlink_str(attrs[NFTA_CHAIN_TABLE]),
			   netlink_str(attrs[NFTA_CHAIN_NAME]));
}

static bool is_reached(const struct nft *nft, const struct foreign_rule *rule)
{
	char where[96];

	for (size_t i = 0; i < nft->reached_count; i++) {
		const struct reached *to = &nft->reached[i];

		set_where(where, sizeof(where), to->family, to->table);
		if (!strcmp(where, rule->where) &&
		    (!*to->chain || !strcmp(to->chain, rule->chain)))
			return true;
	}
	return false;
}

static int find_nft(struct foreign_nat *nat)
{
	struct nft nft = { .nat = nat, .first = nat->count };
	size_t kept = nft.first;
	int err = -EINTR;

	for (int i = 0; i < NETLINK_TRIES && err == -EINTR; i++) {
		nat->count = nft.first;
		nft.reached_count = 0;
		err = nft_dump(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, read_chain,
			       &nft)
			      ?: nft_dump(NFT_MSG_GETRULE, NFPROTO_UNSPEC,
					  read_rule, &nft);
	}
	for (size_t i = nft.first; i < nat->count; i++)
		nat->rules[i].reached = is_reached(&nft, &nat->rules[i]);
	free(nft.reached);
	if (!err || nft_is_absent(err))
		return 0;
	nat->unreadable = err;
	/* whether nothing leads to the others is not known either */
	for (size_t i = nft.first; i < nat->count; i++)
		if (nat->rules[i].reached)
			nat->rules[kept++] = nat->rules[i];
	nat->count = kept;
	return err == -ENOMEM ? err : 0;
}

struct wanted_table {
	const char *name;
	bool there;
};

static int read_table(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct wanted_table *table = data;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	table->there |=
		head->nfgen_family == NFPROTO_INET && attrs[NFTA_TABLE_NAME] &&
		!strcmp(netlink_str(attrs[NFTA_TABLE_NAME]), table->name);
	return MNL_CB_OK;
}

int foreign_nft_table(const char *name)
{
	struct wanted_table table = { .name = name };
	int err = -EINTR;

	for (int i = 0; i < NETLINK_TRIES && err == -EINTR && !table.there; i++)
		err = nft_dump(NFT_MSG_GETTABLE, NFPROTO_INET, read_table,
			       &table);
	if (table.there)
		return 1;
	return nft_is_absent(err) ? 0 : err;
}

/* --- legacy iptables --------------------------------------------------- */

static struct cidr legacy_source(uint8_t family, const void *addr,
				 const void *mask, size_t bytes)
{
	const uint8_t *m = mask;
	struct addr source = { .family = family };
	uint8_t plen = 0;

	while (plen < 8 * bytes && m[plen / 8] & 0x80 >> plen % 8)
		plen++;
	if (!plen)
		return (struct cidr){};
	memcpy(source.a, addr, bytes);
	return cidr_of(&source, plen);
}

/* A target of a table, as both families have it. */
struct legacy {
	struct foreign_nat *nat;
	uint8_t family;
	char chain[64];
	uint32_t begin; /* of the chain: where jumps to it lead */
	uint32_t *begins; /* by rule of nat, from `first` on */
	size_t first;
};

static int legacy_rule(struct legacy *legacy, const char *target,
		       const struct cidr *source, bool destinations)
{
	size_t index = legacy->nat->count - legacy->first;
	struct foreign_rule *rule;
	uint32_t *begins;

	if (!is_target(target, destinations))
		return 0;
	begins = reallocarray(legacy->begins, index + 1, sizeof(*begins));
	if (!begins)
		return -ENOMEM;
	legacy->begins = begins;
	begins[index] = legacy->begin;
	rule = add_rule(legacy->nat);
	if (!rule)
		return -ENOMEM;
	set(rule->where, sizeof(rule->where),
	    legacy->family == 4 ? "iptables-legacy nat"
				: "ip6tables-legacy nat");
	set(rule->chain, sizeof(rule->chain), legacy->chain);
	set(rule->what, sizeof(rule->what), target);
	rule->source = *source;
	rule->family = legacy->family;
	rule->reached = !legacy->begin; /* a built-in chain */
	return 0;
}

/* Jumps to `offset`: the rules of the chain that begins there are reached. */
static void legacy_jump(struct legacy *legacy, int offset)
{
	for (size_t i = legacy->first; i < legacy->nat->count; i++)
		if (offset > 0 &&
		    legacy->begins[i - legacy->first] == (uint32_t)offset)
			legacy->nat->rules[i].reached = true;
}

static struct cidr source_of(uint8_t family, const char *entry)
{
	const struct ipt_ip *ip = (const void *)entry;
	const struct ip6t_ip6 *ip6 = (const void *)entry;

	return family == 4 ? legacy_source(4, &ip->src, &ip->smsk, 4)
			   : legacy_source(6, &ip6->src, &ip6->smsk, 16);
}

/*
 * Entries as the kernel has them. A user's chain begins with an entry whose
 * target is ERROR and has the chain's name; a jump has no name and the offset
 * behind that entry. `jumps`: these alone, else the rules alone.
 */
static int read_legacy(struct legacy *legacy, const struct iptables *table,
		       bool jumps)
{
	int err = 0;

	for (uint32_t at = 0; at < table->size && !err;) {
		struct iptables_entry e = iptables_entry(table, at);
		const struct xt_entry_target *target =
			(const void *)(e.at + e.target);
		const char *name = target->u.user.name;
		struct cidr source = source_of(legacy->family, e.at);
		/* a built-in chain before the last */
		bool early = !legacy->begin &&
			     at < table->begins[NF_INET_POST_ROUTING];

		if (!e.next)
			break;
		at += e.next;
		if (!strcmp(name, "ERROR")) {
			set(legacy->chain, sizeof(legacy->chain),
			    (const char *)target->data);
			legacy->begin = at;
		} else if (!jumps) {
			err = legacy_rule(legacy, name, &source, early);
		} else if (!*name) {
			legacy_jump(legacy,
				    ((const struct xt_standard_target *)target)
					    ->verdict);
		}
	}
	return err;
}

static int find_legacy(struct foreign_nat *nat, uint8_t family)
{
	struct legacy legacy = { nat, family, "POSTROUTING",
				 .first = nat->count };
	struct iptables table = {};
	int err = iptables_has(family, "nat");

	if (err == 1)
		err = iptables_read(family, "nat", &table);
	/* all rules, then the jumps, which may come before them */
	if (!err && table.size)
		err = read_legacy(&legacy, &table, false)
			      ?: read_legacy(&legacy, &table, true);
	free(legacy.begins);
	iptables_free(&table);
	if (err == -ENOMEM)
		return err;
	if (err)
		nat->unreadable = err;
	return 0;
}

/* --- both -------------------------------------------------------------- */

int foreign_nat_find(struct foreign_nat *out)
{
	*out = (struct foreign_nat){};
	return find_nft(out) ?: find_legacy(out, 4) ?: find_legacy(out, 6);
}

void foreign_nat_free(struct foreign_nat *nat)
{
	free(nat->rules);
}
