// SPDX-License-Identifier: GPL-2.0-only
/* varying_nft.c - reads chains, rules and sets of nf_tables for varying.c. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include "kernel/netlink.h"
#include "kernel/nft.h"
#include "kernel/varying_expression.h"
#include "kernel/varying_nft.h"

static int read_rule(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	struct varying_nft_rule r = { .rules = data,
				      .family = head->nfgen_family };
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct varying_rule *vary;
	struct varying_jump *jump;
	bool behind;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_RULE_TABLE] || !attrs[NFTA_RULE_CHAIN] ||
	    !attrs[NFTA_RULE_EXPRESSIONS] || !nft_family(r.family))
		return MNL_CB_OK;
	r.table = netlink_str(attrs[NFTA_RULE_TABLE]);
	varying_chain_name(r.chain, r.family, r.table,
			   netlink_str(attrs[NFTA_RULE_CHAIN]));
	mnl_attr_parse_nested(attrs[NFTA_RULE_EXPRESSIONS], varying_expression,
			      &r);
	/* the rules of a chain come one after the other */
	behind = !strcmp(r.rules->closed, r.chain);
	if (r.ends && !r.partly && !r.never)
		snprintf(r.rules->closed, sizeof(r.rules->closed), "%s",
			 r.chain);
	if (*r.what) {
		vary = varying_add_rule(r.rules);
		if (!vary)
			return MNL_CB_ERROR;
		vary->behind = behind;
		snprintf(vary->chain, sizeof(vary->chain), "%s", r.chain);
		snprintf(vary->what, sizeof(vary->what), "%s", r.what);
	}
	if (!*r.jump.to || r.never)
		return MNL_CB_OK;
	jump = varying_add_jump(r.rules);
	if (!jump)
		return MNL_CB_ERROR;
	*jump = r.jump;
	jump->behind = behind;
	snprintf(jump->from, sizeof(jump->from), "%s", r.chain);
	return MNL_CB_OK;
}

/* Does a forwarded packet of an established flow meet this base chain? */
static uint8_t meets(uint8_t family, const struct nlattr *hook,
		     const char *type)
{
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	uint32_t number;

	if (!hook || !strcmp(type, "nat"))
		return 0;
	mnl_attr_parse_nested(hook, netlink_collect, attrs);
	number = netlink_be32(attrs[NFTA_HOOK_HOOKNUM]);
	/* the bridge's own: to the stack above it and back is its in and out */
	if (family == NFPROTO_BRIDGE || family == NFPROTO_NETDEV)
		return VARYING_EARLY;
	if (number == NF_INET_LOCAL_IN || number == NF_INET_LOCAL_OUT)
		return 0;
	return number == NF_INET_FORWARD || number == NF_INET_POST_ROUTING
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
	varying_chain_name(chain->name, head->nfgen_family,
			   netlink_str(attrs[NFTA_CHAIN_TABLE]),
			   netlink_str(attrs[NFTA_CHAIN_NAME]));
	chain->reached = meets(head->nfgen_family, attrs[NFTA_CHAIN_HOOK],
			       attrs[NFTA_CHAIN_TYPE]
				       ? netlink_str(attrs[NFTA_CHAIN_TYPE])
				       : "");
	return MNL_CB_OK;
}

/*
 * Sets whose elements have a rate or quota of their own: a lookup in one of
 * them varies. They are rare, so that where one is looked up is not asked.
 */
static int read_element_expression(const struct nlattr *element, void *data)
{
	const struct nlattr *expr[NETLINK_ATTRS] = {};

	mnl_attr_parse_nested(element, netlink_collect, expr);
	if (expr[NFTA_EXPR_NAME] &&
	    strcmp(netlink_str(expr[NFTA_EXPR_NAME]), "counter") != 0)
		*(bool *)data = true;
	return MNL_CB_OK;
}

static int read_set(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {},
			    *expr[NETLINK_ATTRS] = {};
	struct varying_rules *rules = data;
	bool varies = false;
	struct varying_rule *vary;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_SET_TABLE] || !attrs[NFTA_SET_NAME] ||
	    !nft_family(head->nfgen_family))
		return MNL_CB_OK;
	if (attrs[NFTA_SET_EXPR]) {
		mnl_attr_parse_nested(attrs[NFTA_SET_EXPR], netlink_collect,
				      expr);
		varies |= expr[NFTA_EXPR_NAME] &&
			  strcmp(netlink_str(expr[NFTA_EXPR_NAME]),
				 "counter") != 0;
	}
	if (attrs[NFTA_SET_EXPRESSIONS])
		mnl_attr_parse_nested(attrs[NFTA_SET_EXPRESSIONS],
				      read_element_expression, &varies);
	if (!varies)
		return MNL_CB_OK;
	vary = varying_add_rule(rules);
	if (!vary)
		return MNL_CB_ERROR;
	/* no chain: reached in any case */
	snprintf(vary->what, sizeof(vary->what),
		 "set %s %s of elements with a "
		 "limit or the like",
		 netlink_str(attrs[NFTA_SET_TABLE]),
		 netlink_str(attrs[NFTA_SET_NAME]));
	return MNL_CB_OK;
}

int varying_nft(bool untracked, char *text, size_t len, bool *keeps)
{
	struct varying_rules rules = {};
	const struct varying_rule *vary = NULL;
	int err = -EINTR;

	for (int i = 0; i < NETLINK_TRIES && err == -EINTR; i++) {
		varying_rules_free(&rules);
		err = nft_dump(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, read_chain,
			       &rules) ?:
		      nft_dump(NFT_MSG_GETRULE, NFPROTO_UNSPEC, read_rule,
			       &rules) ?:
		      nft_dump(NFT_MSG_GETSET, NFPROTO_UNSPEC, read_set,
			       &rules);
	}
	if (nft_is_absent(err))
		err = 0;
	*keeps = rules.untracked;
	rules.untracked |= untracked;
	if (!err)
		vary = varying_reached(&rules);
	if (vary)
		snprintf(text, len, "netfilter: %s%s%s",
			 *vary->chain ? vary->chain : "nft",
			 *vary->chain ? ": " : " ", vary->what);
	varying_rules_free(&rules);
	return err ?: vary != NULL;
}
