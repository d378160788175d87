// SPDX-License-Identifier: GPL-2.0-only
/* varying_nft.c - reads chains, rules and sets of nf_tables for varying.c. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include "kernel/netlink.h"
#include "kernel/nft.h"
#include "kernel/varying_nft.h"
#include "kernel/varying_rules.h"
#include "kernel/varying_xt.h"

static void set(char *out, size_t len, const char *text)
{
	snprintf(out, len, "%s", text);
}

static bool is_in(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

static void chain_name(char *out, uint8_t family, const char *table,
		       const char *chain)
{
	snprintf(out, VARYING_WHERE, "nft %s %s/%s", nft_family(family), table,
		 chain);
}

/* Up to 4 bytes of a value as a number, as they lie. */
static uint32_t get_value(const struct nlattr *attr)
{
	const struct nlattr *value[NETLINK_ATTRS] = {};
	uint32_t number = 0;
	size_t size;

	if (!attr)
		return 0;
	mnl_attr_parse_nested(attr, netlink_collect, value);
	if (!value[NFTA_DATA_VALUE])
		return 0;
	size = mnl_attr_get_payload_len(value[NFTA_DATA_VALUE]);
	memcpy(&number, mnl_attr_get_payload(value[NFTA_DATA_VALUE]),
	       size < sizeof(number) ? size : sizeof(number));
	return number;
}

/* What the register holds that was loaded last. */
enum held {
	HELD_OTHER,
	HELD_FLAGS, /* TCP's, of one byte */
	HELD_STATE, /* conntrack's */
};

struct nft_rule {
	struct varying_rules *rules;
	char chain[VARYING_WHERE];
	const char *table;
	uint8_t family;
	enum held held;
	uint32_t mask; /* that it has been through */
	bool never;
	bool partly; /* not every established packet gets to its end */
	bool ends; /* what does goes no further in the chain */
	char what[VARYING_NAME]; /* that varies */
	struct varying_jump jump;
};

static void varies(struct nft_rule *r, const char *what)
{
	if (!r->never && !*r->what)
		set(r->what, sizeof(r->what), what);
}

static void read_payload(struct nft_rule *r, const struct nlattr **attrs)
{
	uint32_t base = netlink_be32(attrs[NFTA_PAYLOAD_BASE]);
	uint32_t at = netlink_be32(attrs[NFTA_PAYLOAD_OFFSET]);
	uint32_t size = netlink_be32(attrs[NFTA_PAYLOAD_LEN]);

	if (attrs[NFTA_PAYLOAD_SREG]) {
		/* TOS, TTL, hop limit: seen in the packet behind the stack */
		if (base != NFT_PAYLOAD_NETWORK_HEADER || at > 8)
			varies(r, "writes into the packet");
		return;
	}
	switch (base) {
	case NFT_PAYLOAD_LL_HEADER:
		return;
	case NFT_PAYLOAD_NETWORK_HEADER:
		/* not lengths, identification, checksum */
		if ((at >= 2 && at < 6 && at + size <= 6) ||
		    (at >= 10 && at < 12 && at + size <= 12))
			varies(r, "a length, number or checksum of the packet");
		return;
	case NFT_PAYLOAD_TRANSPORT_HEADER:
		if (at + size <= 4)
			return;
		if (at == 13 && size == 1) {
			r->held = HELD_FLAGS;
			r->mask = 0xff;
			return;
		}
		/* fall through */
	default:
		varies(r, "what a packet has behind its ports");
	}
}

static void read_ct(struct nft_rule *r, const struct nlattr **attrs)
{
	switch (netlink_be32(attrs[NFTA_CT_KEY])) {
	case NFT_CT_STATE:
		r->held = HELD_STATE;
		r->mask = UINT32_MAX;
		return;
	case NFT_CT_EXPIRATION:
	case NFT_CT_BYTES:
	case NFT_CT_PKTS:
	case NFT_CT_AVGPKT:
		varies(r, "how much a connection has had");
	}
}

static void read_meta(struct nft_rule *r, const struct nlattr **attrs)
{
	switch (netlink_be32(attrs[NFTA_META_KEY])) {
	case NFT_META_LEN:
	case NFT_META_CPU:
	case NFT_META_PRANDOM:
	case NFT_META_TIME_NS:
	case NFT_META_TIME_DAY:
	case NFT_META_TIME_HOUR:
		varies(r, "a length, a time, a processor or chance");
	}
}

static void read_compare(struct nft_rule *r, const struct nlattr **attrs)
{
	uint32_t op = netlink_be32(attrs[NFTA_CMP_OP]);
	uint32_t value = get_value(attrs[NFTA_CMP_DATA]);
	bool partly = r->partly;

	r->partly = true;
	if (r->held == HELD_FLAGS) {
		if ((op == NFT_CMP_EQ && value & VARYING_FLAGS_NEVER) ||
		    (op == NFT_CMP_NEQ && !value &&
		     !(r->mask & ~VARYING_FLAGS_NEVER)))
			r->never = true;
		else if (r->mask & VARYING_FLAGS)
			varies(r, "TCP flags");
	} else if (r->held == HELD_STATE) {
		bool has = r->mask & VARYING_ESTABLISHED;

		if (op == NFT_CMP_NEQ && !value && has)
			r->partly = partly;
		if ((op == NFT_CMP_NEQ && !value && !has) ||
		    (op == NFT_CMP_EQ && value &&
		     !(value & VARYING_ESTABLISHED)) ||
		    (op == NFT_CMP_EQ && !value && has) ||
		    (op == NFT_CMP_NEQ && value == VARYING_ESTABLISHED))
			r->never = true;
	}
	r->held = HELD_OTHER;
}

static void read_jump(struct nft_rule *r, const struct nlattr *data)
{
	const struct nlattr *verdict[NETLINK_ATTRS];

	if (!nft_verdict(data, verdict))
		return;
	switch ((int32_t)netlink_be32(verdict[NFTA_VERDICT_CODE])) {
	case NF_QUEUE:
		varies(r, "queue");
		break;
	case NF_ACCEPT:
	case NF_DROP:
	case NFT_RETURN:
	case NFT_GOTO:
		r->ends = true;
	}
	if (verdict[NFTA_VERDICT_CHAIN])
		chain_name(r->jump.to, r->family, r->table,
			   netlink_str(verdict[NFTA_VERDICT_CHAIN]));
}

static int read_expression(const struct nlattr *element, void *data)
{
	static const char *const same[] = { "byteorder", "counter", "range",
					    "fib",	 "rt",	    "masq",
					    "nat",	 "redir",   "notrack",
					    "reject",	 "hash",    "socket",
					    "last",	 NULL };
	const struct nlattr *attrs[NETLINK_ATTRS];
	const char *name = nft_expression(element, attrs);
	struct nft_rule *r = data;

	if (!name)
		return MNL_CB_OK;
	/* what has no say in whether the next expression is met */
	if (strcmp(name, "ct") && strcmp(name, "bitwise") &&
	    strcmp(name, "cmp") && strcmp(name, "counter") &&
	    strcmp(name, "immediate") && strcmp(name, "match"))
		r->partly = true;
	if (!strcmp(name, "payload")) {
		r->held = HELD_OTHER;
		read_payload(r, attrs);
	} else if (!strcmp(name, "ct")) {
		r->held = HELD_OTHER;
		read_ct(r, attrs);
	} else if (!strcmp(name, "meta")) {
		r->held = HELD_OTHER;
		read_meta(r, attrs);
	} else if (!strcmp(name, "bitwise")) {
		r->mask &= get_value(attrs[NFTA_BITWISE_MASK]);
	} else if (!strcmp(name, "cmp")) {
		read_compare(r, attrs);
	} else if (!strcmp(name, "lookup")) {
		if (r->held == HELD_FLAGS && r->mask & VARYING_FLAGS)
			varies(r, "TCP flags");
		if (netlink_be32(attrs[NFTA_LOOKUP_DREG]) == NFT_REG_VERDICT)
			chain_name(r->jump.to, r->family, r->table, "");
	} else if (!strcmp(name, "immediate")) {
		read_jump(r, attrs[NFTA_IMMEDIATE_DATA]);
	} else if (!strcmp(name, "objref")) {
		uint32_t type = netlink_be32(attrs[NFTA_OBJREF_IMM_TYPE]);

		if (type != NFT_OBJECT_COUNTER && type != NFT_OBJECT_SECMARK)
			varies(r, "a quota, limit or other object");
	} else if (!strcmp(name, "match") && attrs[NFTA_MATCH_NAME] &&
		   attrs[NFTA_MATCH_INFO]) {
		const char *match = netlink_str(attrs[NFTA_MATCH_NAME]);

		r->partly |= !varying_xt_lets_all(
			match, mnl_attr_get_payload(attrs[NFTA_MATCH_INFO]),
			mnl_attr_get_payload_len(attrs[NFTA_MATCH_INFO]),
			netlink_be32(attrs[NFTA_MATCH_REV]));
		switch (varying_xt_match(
			match, mnl_attr_get_payload(attrs[NFTA_MATCH_INFO]),
			mnl_attr_get_payload_len(attrs[NFTA_MATCH_INFO]),
			netlink_be32(attrs[NFTA_MATCH_REV]))) {
		case VARYING_SAME:
			break;
		case VARYING_NEVER:
			r->never = true;
			break;
		case VARYING_VARIES:
			varies(r, match);
		}
	} else if (!strcmp(name, "target") && attrs[NFTA_TARGET_NAME]) {
		const char *target = netlink_str(attrs[NFTA_TARGET_NAME]);

		if (!varying_xt_target(target))
			varies(r, target);
		r->rules->untracked |= varying_xt_keeps_off(target);
	} else if (!is_in(name, same)) {
		varies(r, name);
	}
	r->rules->untracked |= !strcmp(name, "notrack");
	return MNL_CB_OK;
}

static int read_rule(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	struct nft_rule r = { .rules = data, .family = head->nfgen_family };
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct varying_rule *vary;
	struct varying_jump *jump;
	bool behind;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_RULE_TABLE] || !attrs[NFTA_RULE_CHAIN] ||
	    !attrs[NFTA_RULE_EXPRESSIONS] || !nft_family(r.family))
		return MNL_CB_OK;
	r.table = netlink_str(attrs[NFTA_RULE_TABLE]);
	chain_name(r.chain, r.family, r.table,
		   netlink_str(attrs[NFTA_RULE_CHAIN]));
	mnl_attr_parse_nested(attrs[NFTA_RULE_EXPRESSIONS], read_expression,
			      &r);
	/* the rules of a chain come one after the other */
	behind = !strcmp(r.rules->closed, r.chain);
	if (r.ends && !r.partly && !r.never)
		set(r.rules->closed, sizeof(r.rules->closed), r.chain);
	if (*r.what) {
		vary = varying_add_rule(r.rules);
		if (!vary)
			return MNL_CB_ERROR;
		vary->behind = behind;
		set(vary->chain, sizeof(vary->chain), r.chain);
		set(vary->what, sizeof(vary->what), r.what);
	}
	if (!*r.jump.to || r.never)
		return MNL_CB_OK;
	jump = varying_add_jump(r.rules);
	if (!jump)
		return MNL_CB_ERROR;
	*jump = r.jump;
	jump->behind = behind;
	set(jump->from, sizeof(jump->from), r.chain);
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
	chain_name(chain->name, head->nfgen_family,
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
