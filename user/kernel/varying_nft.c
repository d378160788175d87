// SPDX-License-Identifier: GPL-2.0-only
/* varying_nft.c - reads chains, rules and sets of nf_tables for varying.c. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include "kernel/netlink.h"
#include "kernel/nft.h"
#include "kernel/varying_expression.h"
#include "kernel/varying_nft.h"
#include "kernel/varying_xt.h"

/* The rule's place in its chain, and what it means for those behind it. */
static uint32_t place_of(const struct varying_nft_rule *r)
{
	struct varying_chain *chain = varying_find_chain(r->rules, r->chain);
	uint32_t place;

	if (!chain) /* it has come since: as if it were the first */
		return 0;
	place = chain->count++;
	if (r->never)
		return place;
	if (r->ends && !r->partly && !r->unknown && place < chain->closed)
		chain->closed = place;
	if (r->leaves && !r->unknown && place < chain->left)
		chain->left = place;
	return place;
}

/* Which map a jump is by; 0, or -1 without memory. */
static int note_map(const struct varying_nft_rule *r, struct varying_jump *jump)
{
	struct varying_map *map = varying_add_map(r->rules);

	if (!map)
		return -1;
	map->family = r->family;
	map->generation = r->generation;
	snprintf(map->table, sizeof(map->table), "%s", r->table);
	snprintf(map->name, sizeof(map->name), "%s", r->map);
	jump->map = r->rules->map_count;
	return 0;
}

static int read_rule(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	struct varying_nft_rule r = { .rules = data,
				      .family = head->nfgen_family,
				      .generation = head->res_id };
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct varying_rule *vary;
	struct varying_jump *jump;
	uint32_t place;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_RULE_TABLE] || !attrs[NFTA_RULE_CHAIN] ||
	    !attrs[NFTA_RULE_EXPRESSIONS] || !nft_family(r.family))
		return MNL_CB_OK;
	r.table = netlink_str(attrs[NFTA_RULE_TABLE]);
	varying_chain_name(r.chain, r.family, r.table,
			   netlink_str(attrs[NFTA_RULE_CHAIN]));
	mnl_attr_parse_nested(attrs[NFTA_RULE_EXPRESSIONS], varying_expression,
			      &r);
	if (r.turned && !r.never && !*r.what) {
		r.what_unknown = r.unknown;
		snprintf(r.what, sizeof(r.what), "%s", VARYING_TURNED);
	} else {
		r.turned = false;
	}
	place = place_of(&r); /* a chain's rules come in their order */
	if (*r.what) {
		vary = varying_add_rule(r.rules);
		if (!vary)
			return MNL_CB_ERROR;
		vary->place = place;
		vary->behind = r.what_unknown;
		vary->always = r.lasts;
		vary->turns = r.turned;
		snprintf(vary->chain, sizeof(vary->chain), "%s", r.chain);
		snprintf(vary->what, sizeof(vary->what), "%s", r.what);
	}
	if (!*r.jump.to || r.never)
		return MNL_CB_OK;
	jump = varying_add_jump(r.rules);
	if (!jump)
		return MNL_CB_ERROR;
	*jump = r.jump;
	jump->place = place;
	jump->behind |= r.unknown;
	jump->sure &= !r.partly && !r.unknown;
	snprintf(jump->from, sizeof(jump->from), "%s", r.chain);
	return r.map && note_map(&r, jump) ? MNL_CB_ERROR : MNL_CB_OK;
}

/* Does a forwarded packet of an established flow meet this base chain? */
static uint8_t meets(uint8_t family, const struct nlattr *hook,
		     const char *type)
{
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	uint32_t number;
	int32_t priority;

	if (!hook || !strcmp(type, "nat"))
		return 0;
	mnl_attr_parse_nested(hook, netlink_collect, attrs);
	number = netlink_be32(attrs[NFTA_HOOK_HOOKNUM]);
	priority = netlink_be32(attrs[NFTA_HOOK_PRIORITY]);
	/* the bridge's own: to the stack above it and back is its in and out;
	 * a device's, which are inet's too, have no states yet */
	if (family == NFPROTO_BRIDGE || family == NFPROTO_NETDEV ||
	    number >= NF_INET_NUMHOOKS)
		return VARYING_EARLY;
	if (number == NF_INET_LOCAL_IN || number == NF_INET_LOCAL_OUT)
		return 0;
	return number != NF_INET_PRE_ROUTING || priority > NF_IP_PRI_CONNTRACK
		       ? VARYING_LATE
		       : VARYING_EARLY;
}

static int read_chain(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct varying_rules *rules = data;
	struct varying_chain *chain;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_CHAIN_TABLE] || !attrs[NFTA_CHAIN_NAME] ||
	    !nft_family(head->nfgen_family))
		return MNL_CB_OK;
	chain = varying_add_chain(rules);
	if (!chain)
		return MNL_CB_ERROR;
	chain->closed = VARYING_NONE;
	chain->left = VARYING_NONE;
	varying_chain_name(chain->name, head->nfgen_family,
			   netlink_str(attrs[NFTA_CHAIN_TABLE]),
			   netlink_str(attrs[NFTA_CHAIN_NAME]));
	chain->begins = meets(head->nfgen_family, attrs[NFTA_CHAIN_HOOK],
			      attrs[NFTA_CHAIN_TYPE]
				      ? netlink_str(attrs[NFTA_CHAIN_TYPE])
				      : "");
	return MNL_CB_OK;
}

/*
 * Sets whose elements have a rate or quota of their own: a lookup in one of
 * them varies. They are rare, so that where one is looked up is not asked. A set
 * says so itself, or each element does: a rule's own, without a name, or one
 * that another rule adds to (that is often one of INPUT, so it is asked).
 */
static int read_statement(const struct nlattr *statement, void *data)
{
	const struct nlattr *expr[NETLINK_ATTRS] = {};

	mnl_attr_parse_nested(statement, netlink_collect, expr);
	if (expr[NFTA_EXPR_NAME] &&
	    strcmp(netlink_str(expr[NFTA_EXPR_NAME]), "counter") != 0)
		*(bool *)data = true;
	return MNL_CB_OK;
}

static bool has_statement(const struct nlattr *one, const struct nlattr *list)
{
	bool varies = false;

	if (one)
		read_statement(one, &varies);
	if (list)
		mnl_attr_parse_nested(list, read_statement, &varies);
	return varies;
}

/* A set, and what its elements say. */
struct elements {
	struct varying_set *set;
	bool vary;
};

static int read_element(const struct nlattr *element, void *data)
{
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	const struct nlattr *verdict[NETLINK_ATTRS];
	struct elements *elements = data;
	struct varying_set *set = elements->set;

	mnl_attr_parse_nested(element, netlink_collect, attrs);
	elements->vary |= has_statement(attrs[NFTA_SET_ELEM_EXPR],
					attrs[NFTA_SET_ELEM_EXPRESSIONS]);
	/* the end of a range, or what all others mean */
	if (attrs[NFTA_SET_ELEM_FLAGS])
		set->plain = false;
	if (varying_value(attrs[NFTA_SET_ELEM_KEY]) != VARYING_ESTABLISHED)
		return MNL_CB_OK;
	set->established = true;
	if (nft_verdict(attrs[NFTA_SET_ELEM_DATA], verdict))
		set->verdict = netlink_be32(verdict[NFTA_VERDICT_CODE]);
	return MNL_CB_OK;
}

static int read_elements(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct elements *elements = data;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (head->res_id != elements->set->generation)
		elements->set->plain = false;
	if (attrs[NFTA_SET_ELEM_LIST_ELEMENTS])
		mnl_attr_parse_nested(attrs[NFTA_SET_ELEM_LIST_ELEMENTS],
				      read_element, data);
	return MNL_CB_OK;
}

static int add_set(struct varying_rules *rules, const char *name)
{
	struct varying_rule *vary = varying_add_rule(rules);

	if (!vary)
		return -errno;
	vary->always = true;
	snprintf(vary->what, sizeof(vary->what),
		 "set %.16s of elements with a limit or the like", name);
	return 0;
}

static int read_set(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct varying_rules *rules = data;
	const char *table, *name;
	struct varying_set *set;
	uint32_t flags;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_SET_TABLE] || !attrs[NFTA_SET_NAME] ||
	    !nft_family(head->nfgen_family))
		return MNL_CB_OK;
	table = netlink_str(attrs[NFTA_SET_TABLE]);
	name = netlink_str(attrs[NFTA_SET_NAME]);
	if (has_statement(attrs[NFTA_SET_EXPR], attrs[NFTA_SET_EXPRESSIONS]))
		return add_set(rules, name) ? MNL_CB_ERROR : MNL_CB_OK;
	flags = attrs[NFTA_SET_FLAGS] ? netlink_be32(attrs[NFTA_SET_FLAGS]) : 0;
	if (!(flags & (NFT_SET_ANONYMOUS | NFT_SET_EVAL)))
		return MNL_CB_OK;
	set = varying_add_set(rules);
	if (!set)
		return MNL_CB_ERROR;
	set->family = head->nfgen_family;
	set->generation = head->res_id;
	set->own = flags & NFT_SET_ANONYMOUS;
	set->plain = flags & NFT_SET_CONSTANT &&
		     !(flags &
		       ~(NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_MAP)) &&
		     netlink_be32(attrs[NFTA_SET_KEY_LEN]) == sizeof(uint32_t);
	snprintf(set->table, sizeof(set->table), "%s", table);
	snprintf(set->name, sizeof(set->name), "%s", name);
	return MNL_CB_OK;
}

static int look_into_sets(struct varying_rules *rules)
{
	int err = 0;

	for (size_t i = 0; i < rules->set_count && !err; i++) {
		struct elements elements = { .set = &rules->sets[i] };
		struct varying_set *set = elements.set;

		err = nft_dump_set(set->family, set->table, set->name,
				   read_elements, &elements);
		if (err == -ENOENT) /* it has just gone, with its rule */
			err = 0;
		set->vary = elements.vary && !set->own;
		rules->sets_vary |= set->vary;
		if (!err && elements.vary && set->own)
			err = add_set(rules, set->name);
	}
	return err;
}

/* A jump by a map, whose elements are read. */
struct led {
	struct varying_rules *rules;
	const struct varying_map *map;
	const struct varying_jump *by;
	bool whole; /* they are those of the rules */
};

static int read_way(const struct nlattr *element, void *data)
{
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	const struct nlattr *verdict[NETLINK_ATTRS];
	struct led *led = data;
	struct varying_jump *jump;

	mnl_attr_parse_nested(element, netlink_collect, attrs);
	if (!attrs[NFTA_SET_ELEM_DATA]) /* the end of a range */
		return MNL_CB_OK;
	if (!nft_verdict(attrs[NFTA_SET_ELEM_DATA], verdict)) {
		led->whole = false;
		return MNL_CB_OK;
	}
	if (!verdict[NFTA_VERDICT_CHAIN])
		return MNL_CB_OK;
	jump = varying_add_jump(led->rules);
	if (!jump)
		return MNL_CB_ERROR;
	*jump = *led->by;
	jump->map = 0;
	varying_chain_name(jump->to, led->map->family, led->map->table,
			   netlink_str(verdict[NFTA_VERDICT_CHAIN]));
	return MNL_CB_OK;
}

static int read_ways(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct led *led = data;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	led->whole &= head->res_id == led->map->generation;
	if (!attrs[NFTA_SET_ELEM_LIST_ELEMENTS])
		return MNL_CB_OK;
	return mnl_attr_parse_nested(attrs[NFTA_SET_ELEM_LIST_ELEMENTS],
				     read_way, data);
}

/* Maps may lead to any chain of their table, as far as the rules say; -EINTR: one
 * has changed since. */
static int follow_maps(struct varying_rules *rules)
{
	size_t count = rules->jump_count;
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		const struct varying_jump by = rules->jumps[i];
		struct led led = { .rules = rules, .by = &by, .whole = true };

		if (!by.map)
			continue;
		led.map = &rules->maps[by.map - 1];
		err = nft_dump_set(led.map->family, led.map->table,
				   led.map->name, read_ways, &led);
		if (err == -ENOENT || (!err && !led.whole))
			err = -EINTR;
		/* it is not by itself any more */
		snprintf(rules->jumps[i].to, sizeof(by.to), "%s", by.from);
	}
	return err;
}

/* *vary: what stands against it, or NULL. Maps are read where they matter. */
static int find(struct varying_rules *rules, const struct varying_rule **vary)
{
	int err;

	*vary = varying_reached(rules);
	if (!*vary || (*vary)->always || !rules->map_count)
		return 0;
	err = follow_maps(rules);
	if (!err)
		*vary = varying_reached(rules);
	return err;
}

int varying_nft(char *text, size_t len, bool *tracked)
{
	struct varying_rules rules = {};
	const struct varying_rule *vary = NULL;
	int err = -EINTR;

	for (int i = 0; i < NETLINK_TRIES && err == -EINTR; i++) {
		varying_rules_free(&rules);
		vary = NULL;
		err = nft_dump(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, read_chain,
			       &rules);
		if (nft_is_absent(err)) {
			err = 0;
			break;
		}
		err = err
			      ?: nft_dump(NFT_MSG_GETSET, NFPROTO_UNSPEC,
					  read_set, &rules)
			      ?: look_into_sets(&rules);
		varying_sort_chains(&rules);
		/* last, since they are understood by all the rest */
		err = err
			      ?: nft_dump(NFT_MSG_GETRULE, NFPROTO_UNSPEC,
					  read_rule, &rules)
			      ?: find(&rules, &vary);
	}
	*tracked |= rules.tracked;
	if (err)
		vary = NULL;
	if (vary)
		snprintf(text, len, "netfilter: %s%s%s",
			 *vary->chain ? vary->chain : "nft",
			 *vary->chain ? ": " : " ", vary->what);
	varying_rules_free(&rules);
	return err ?: vary != NULL;
}
