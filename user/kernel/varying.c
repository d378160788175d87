// SPDX-License-Identifier: GPL-2.0-only
/*
 * varying.c - rules that treat packets of one flow differently.
 *
 * A rule that no packet of an established flow gets to (it asks for SYN, FIN or
 * RST, or for a conntrack state that is not ESTABLISHED) is none of them, nor is
 * one in a chain that only the node's own packets meet, or of type nat, which
 * is asked about first packets alone.
 *
 * Nor is one that stands behind "established: accept" (or drop, return) of its
 * chain, the first rule of every NetworkPolicy: no packet of an established flow
 * gets past that, where conntrack has seen it. So this counts for chains that
 * are met behind conntrack alone (FORWARD and POSTROUTING), and only where no
 * rule keeps conntrack off a packet.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* before linux/if.h, which then leaves out what is the same */
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include "kernel/netlink.h"
#include "kernel/varying.h"

#define DUMP_TRIES  16
#define NAME_SIZE   64
#define WHERE_SIZE  160

#define ESTABLISHED NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
/* TCP flags that no packet of the fast path has, and those that may change */
#define FLAGS_NEVER 0x07 /* FIN, SYN, RST */
#define FLAGS_VARY  0xe8 /* PSH, URG, ECE, CWR */

/* What a part of a rule does to packets of one established flow. */
enum effect {
	SAME, /* the same to each */
	NEVER, /* none gets past it */
	VARIES,
};

/* A chain, a jump from one to another, a rule that varies. */
struct chain {
	char name[WHERE_SIZE]; /* with its family and table */
	uint8_t reached; /* REACHED_* */
	uint8_t followed;
};
#define REACHED_EARLY 0x1 /* from where conntrack may not have been */
#define REACHED_LATE  0x2

struct jump {
	char from[WHERE_SIZE];
	char to[WHERE_SIZE]; /* ends with '/': any chain of the table */
	bool behind; /* an accept of what is established */
};

struct vary {
	char chain[WHERE_SIZE];
	bool behind;
	char what[NAME_SIZE];
};

struct rules {
	struct chain *chains;
	size_t chain_count;
	struct jump *jumps;
	size_t jump_count;
	struct vary *vary;
	size_t vary_count;
	char closed[WHERE_SIZE]; /* chain that has had such an accept */
	bool untracked; /* conntrack is kept off packets */
};

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

static void rules_free(struct rules *rules)
{
	free(rules->chains);
	free(rules->jumps);
	free(rules->vary);
	*rules = (struct rules){};
}

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

/* --- matches and targets of xtables, in either kind of tables -------------- */

/* Of the flow, or of what every packet on the fast path has alike. */
static const char *const same_matches[] = {
	"comment",  "udp",	 "icmp",    "icmp6",	"mark",	     "connmark",
	"addrtype", "multiport", "iprange", "physdev",	"mac",	     "owner",
	"pkttype",  "rpfilter",	 "policy",  "set",	"helper",    "realm",
	"tos",	    "dscp",	 "ttl",	    "hl",	"connlabel", "cgroup",
	"ipvs",	    "sctp",	 "dccp",    "devgroup", "eui64",     NULL
};

/*
 * What changes the packet is seen in it, and the packet has no consent then;
 * what sets a mark or priority is done again on the fast path.
 */
static const char *const same_targets[] = {
	"",	      "standard", "ACCEPT",   "DROP",	     "RETURN",
	"REJECT",     "MARK",	  "CONNMARK", "SNAT",	     "DNAT",
	"MASQUERADE", "REDIRECT", "NETMAP",   "CT",	     "NOTRACK",
	"TCPMSS",     "CLASSIFY", "SECMARK",  "CONNSECMARK", "DSCP",
	"TOS",	      "TTL",	  "HL",	      "ERROR",	     "CHECKSUM",
	NULL
};

static enum effect xt_tcp(const void *data, size_t size)
{
	const struct xt_tcp *tcp = data;

	if (size < sizeof(*tcp))
		return VARIES;
	if (!(tcp->invflags & XT_TCP_INV_FLAGS) &&
	    tcp->flg_cmp & tcp->flg_mask & FLAGS_NEVER)
		return NEVER;
	return tcp->option || tcp->flg_mask & FLAGS_VARY ? VARIES : SAME;
}

static enum effect xt_conntrack(const void *data, size_t size, unsigned int rev)
{
	const struct xt_conntrack_mtinfo3 *ct = data;
	bool not ;

	/* the states have 8 bits before, at another place */
	if (rev < 2 || size < sizeof(struct xt_conntrack_mtinfo2))
		return VARIES;
	if (ct->match_flags & XT_CONNTRACK_EXPIRES)
		return VARIES;
	not = ct->invert_flags & XT_CONNTRACK_STATE;
	if (ct->match_flags & XT_CONNTRACK_STATE &&
	    !!(ct->state_mask & ESTABLISHED) == not )
		return NEVER;
	return SAME;
}

/* Does every packet of an established flow get past it? */
static bool xt_lets_all(const char *name, const void *data, size_t size,
			unsigned int rev)
{
	const struct xt_conntrack_mtinfo3 *ct = data;

	if (!strcmp(name, "comment"))
		return true;
	if (!strcmp(name, "state"))
		return size >= sizeof(struct xt_state_info) &&
		       ((const struct xt_state_info *)data)->statemask &
			       ESTABLISHED;
	return !strcmp(name, "conntrack") && rev >= 2 &&
	       size >= sizeof(struct xt_conntrack_mtinfo2) &&
	       ct->match_flags == XT_CONNTRACK_STATE && !ct->invert_flags &&
	       ct->state_mask & ESTABLISHED;
}

static bool keeps_off(const char *target)
{
	return !strcmp(target, "CT") || !strcmp(target, "NOTRACK");
}

static enum effect xt_match(const char *name, const void *data, size_t size,
			    unsigned int rev)
{
	if (!strcmp(name, "tcp"))
		return xt_tcp(data, size);
	if (!strcmp(name, "conntrack"))
		return xt_conntrack(data, size, rev);
	if (!strcmp(name, "state"))
		return size < sizeof(struct xt_state_info) ? VARIES
		       : ((const struct xt_state_info *)data)->statemask &
				       ESTABLISHED
			       ? SAME
			       : NEVER;
	return is_in(name, same_matches) ? SAME : VARIES;
}

/* --- nf_tables --------------------------------------------------------- */

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return NULL;
	}
}

static void chain_name(char *out, uint8_t family, const char *table,
		       const char *chain)
{
	snprintf(out, WHERE_SIZE, "nft %s %s/%s", family_name(family), table,
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
	struct rules *rules;
	char chain[WHERE_SIZE];
	char table[WHERE_SIZE];
	uint8_t family;
	enum held held;
	uint32_t mask; /* that it has been through */
	bool never;
	bool partly; /* not every established packet gets to its end */
	bool ends; /* what does goes no further in the chain */
	char what[NAME_SIZE]; /* that varies */
	struct jump jump;
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
		if ((op == NFT_CMP_EQ && value & FLAGS_NEVER) ||
		    (op == NFT_CMP_NEQ && !value && !(r->mask & ~FLAGS_NEVER)))
			r->never = true;
		else if (r->mask & FLAGS_VARY)
			varies(r, "TCP flags");
	} else if (r->held == HELD_STATE) {
		bool has = r->mask & ESTABLISHED;

		if (op == NFT_CMP_NEQ && !value && has)
			r->partly = partly;
		if ((op == NFT_CMP_NEQ && !value && !has) ||
		    (op == NFT_CMP_EQ && value && !(value & ESTABLISHED)) ||
		    (op == NFT_CMP_EQ && !value && has) ||
		    (op == NFT_CMP_NEQ && value == ESTABLISHED))
			r->never = true;
	}
	r->held = HELD_OTHER;
}

static void read_jump(struct nft_rule *r, const struct nlattr *data)
{
	const struct nlattr *value[NETLINK_ATTRS] = {},
			    *verdict[NETLINK_ATTRS] = {};

	if (!data)
		return;
	mnl_attr_parse_nested(data, netlink_collect, value);
	if (!value[NFTA_DATA_VERDICT])
		return;
	mnl_attr_parse_nested(value[NFTA_DATA_VERDICT], netlink_collect,
			      verdict);
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
	const struct nlattr *expr[NETLINK_ATTRS] = {},
			    *attrs[NETLINK_ATTRS] = {};
	struct nft_rule *r = data;
	const char *name;

	mnl_attr_parse_nested(element, netlink_collect, expr);
	if (!expr[NFTA_EXPR_NAME])
		return MNL_CB_OK;
	name = netlink_str(expr[NFTA_EXPR_NAME]);
	/* what has no say in whether the next expression is met */
	if (strcmp(name, "ct") && strcmp(name, "bitwise") &&
	    strcmp(name, "cmp") && strcmp(name, "counter") &&
	    strcmp(name, "immediate") && strcmp(name, "match"))
		r->partly = true;
	if (expr[NFTA_EXPR_DATA])
		mnl_attr_parse_nested(expr[NFTA_EXPR_DATA], netlink_collect,
				      attrs);
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
		if (r->held == HELD_FLAGS && r->mask & FLAGS_VARY)
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

		r->partly |= !xt_lets_all(
			match, mnl_attr_get_payload(attrs[NFTA_MATCH_INFO]),
			mnl_attr_get_payload_len(attrs[NFTA_MATCH_INFO]),
			netlink_be32(attrs[NFTA_MATCH_REV]));
		switch (xt_match(
			match, mnl_attr_get_payload(attrs[NFTA_MATCH_INFO]),
			mnl_attr_get_payload_len(attrs[NFTA_MATCH_INFO]),
			netlink_be32(attrs[NFTA_MATCH_REV]))) {
		case SAME:
			break;
		case NEVER:
			r->never = true;
			break;
		case VARIES:
			varies(r, match);
		}
	} else if (!strcmp(name, "target") && attrs[NFTA_TARGET_NAME]) {
		const char *target = netlink_str(attrs[NFTA_TARGET_NAME]);

		if (!is_in(target, same_targets))
			varies(r, target);
		r->rules->untracked |= keeps_off(target);
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
	struct vary *vary;
	struct jump *jump;
	bool behind;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_RULE_TABLE] || !attrs[NFTA_RULE_CHAIN] ||
	    !attrs[NFTA_RULE_EXPRESSIONS] || !family_name(r.family))
		return MNL_CB_OK;
	set(r.table, sizeof(r.table), netlink_str(attrs[NFTA_RULE_TABLE]));
	chain_name(r.chain, r.family, r.table,
		   netlink_str(attrs[NFTA_RULE_CHAIN]));
	mnl_attr_parse_nested(attrs[NFTA_RULE_EXPRESSIONS], read_expression,
			      &r);
	/* the rules of a chain come one after the other */
	behind = !strcmp(r.rules->closed, r.chain);
	if (r.ends && !r.partly && !r.never)
		set(r.rules->closed, sizeof(r.rules->closed), r.chain);
	if (*r.what) {
		vary = grow(&r.rules->vary, &r.rules->vary_count,
			    sizeof(*vary));
		if (!vary)
			return MNL_CB_ERROR;
		vary->behind = behind;
		set(vary->chain, sizeof(vary->chain), r.chain);
		set(vary->what, sizeof(vary->what), r.what);
	}
	if (!*r.jump.to || r.never)
		return MNL_CB_OK;
	jump = grow(&r.rules->jumps, &r.rules->jump_count, sizeof(*jump));
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
		return REACHED_EARLY;
	if (number == NF_INET_LOCAL_IN || number == NF_INET_LOCAL_OUT)
		return 0;
	return number == NF_INET_FORWARD || number == NF_INET_POST_ROUTING
		       ? REACHED_LATE
		       : REACHED_EARLY;
}

static int read_chain(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};
	struct rules *rules = data;
	struct chain *chain;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_CHAIN_TABLE] || !attrs[NFTA_CHAIN_NAME] ||
	    !family_name(head->nfgen_family))
		return MNL_CB_OK;
	chain = grow(&rules->chains, &rules->chain_count, sizeof(*chain));
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
	struct rules *rules = data;
	bool varies = false;
	struct vary *vary;

	mnl_attr_parse(message, sizeof(*head), netlink_collect, attrs);
	if (!attrs[NFTA_SET_TABLE] || !attrs[NFTA_SET_NAME] ||
	    !family_name(head->nfgen_family))
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
	vary = grow(&rules->vary, &rules->vary_count, sizeof(*vary));
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

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct chain *)a)->name,
		      ((const struct chain *)b)->name);
}

static int by_from(const void *a, const void *b)
{
	return strcmp(((const struct jump *)a)->from,
		      ((const struct jump *)b)->from);
}

static struct chain *find_chain(const struct rules *rules, const char *name)
{
	struct chain key;

	set(key.name, sizeof(key.name), name);
	return bsearch(&key, rules->chains, rules->chain_count, sizeof(key),
		       by_name);
}

static bool reach(struct chain *to, uint8_t bits)
{
	bool new = bits & ~to->reached;

	to->reached |= bits;
	return new;
}

/* Are there packets for what stands there, of those that get to the chain? */
static uint8_t passing(const struct rules *rules, uint8_t bits, bool behind)
{
	return behind && !rules->untracked ? bits & REACHED_EARLY : bits;
}

/* Marks what the jumps from this chain lead to; true: something is new. */
static bool follow(struct rules *rules, const char *from, uint8_t reached)
{
	bool new = false;

	for (size_t i = 0; i < rules->jump_count; i++) {
		const struct jump *jump = &rules->jumps[i];
		uint8_t bits = passing(rules, reached, jump->behind);
		size_t length = strlen(jump->to);
		struct chain *to;

		if (strcmp(jump->from, from) != 0)
			continue;
		if (length && jump->to[length - 1] != '/') {
			to = find_chain(rules, jump->to);
			new |= to &&reach(to, bits);
			continue;
		}
		for (size_t k = 0; k < rules->chain_count; k++) {
			to = &rules->chains[k];
			if (strncmp(to->name, jump->to, length) != 0)
				continue;
			new |= reach(to, bits);
		}
	}
	return new;
}

static void follow_all(struct rules *rules)
{
	bool more = true;

	qsort(rules->chains, rules->chain_count, sizeof(*rules->chains),
	      by_name);
	qsort(rules->jumps, rules->jump_count, sizeof(*rules->jumps), by_from);
	while (more) {
		more = false;
		for (size_t i = 0; i < rules->chain_count; i++) {
			struct chain *chain = &rules->chains[i];

			if (chain->followed == chain->reached)
				continue;
			chain->followed = chain->reached;
			more |= follow(rules, chain->name, chain->reached);
		}
	}
}

static int find_nft(bool untracked, char *text, size_t len, bool *keeps)
{
	const struct nfgenmsg head = { .nfgen_family = NFPROTO_UNSPEC };
	struct rules rules = {};
	int err = -EINTR, found = 0;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		rules_free(&rules);
		err = netlink_all(NETLINK_NETFILTER,
				  NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN,
				  &head, sizeof(head), read_chain, &rules) ?:
		      netlink_all(NETLINK_NETFILTER,
				  NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE,
				  &head, sizeof(head), read_rule, &rules) ?:
		      netlink_all(NETLINK_NETFILTER,
				  NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET,
				  &head, sizeof(head), read_set, &rules);
	}
	/* the kernel has no nf_tables, so there is no rule of it */
	if (err == -EINVAL || err == -EPROTONOSUPPORT)
		err = 0;
	*keeps = rules.untracked;
	rules.untracked |= untracked;
	if (!err && rules.vary_count)
		follow_all(&rules);
	for (size_t i = 0; i < rules.vary_count && !err && !found; i++) {
		const struct vary *vary = &rules.vary[i];
		const struct chain *chain = find_chain(&rules, vary->chain);

		found = !*vary->chain ||
			(chain &&
			 passing(&rules, chain->reached, vary->behind));
		if (found)
			snprintf(text, len, "netfilter: %s%s%s",
				 *vary->chain ? vary->chain : "nft",
				 *vary->chain ? ": " : " ", vary->what);
	}
	rules_free(&rules);
	return err ?: found;
}

/* --- legacy iptables --------------------------------------------------- */

/* One table as the kernel has it, and which of its entries are reached. */
struct legacy {
	const char *program, *table;
	const char *entries;
	uint32_t size;
	bool *reached; /* by offset / 8, a rule's beginning */
	uint32_t *todo;
	size_t todo_count;
	const uint32_t *ends; /* policies of the built-in chains, by hook */
	/* of one entry, whichever family */
	uint32_t (*next)(const void *entry);
	uint32_t (*target)(const void *entry);
	size_t matches;
	size_t head; /* what it asks of addresses and interfaces */
	bool late; /* conntrack has seen what comes here */
};

static bool is_zero(const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (data[i])
			return false;
	return true;
}

static uint32_t next4(const void *e)
{
	return ((const struct ipt_entry *)e)->next_offset;
}
static uint32_t target4(const void *e)
{
	return ((const struct ipt_entry *)e)->target_offset;
}
static uint32_t next6(const void *e)
{
	return ((const struct ip6t_entry *)e)->next_offset;
}
static uint32_t target6(const void *e)
{
	return ((const struct ip6t_entry *)e)->target_offset;
}

/* The rules from `at` on to the chain's end; 1: one varies. */
static int walk_legacy(struct legacy *l, uint32_t at, char *text, size_t len)
{
	while (at + l->matches < l->size && !l->reached[at / 8]) {
		const char *entry = l->entries + at;
		uint32_t next = l->next(entry), target = l->target(entry);
		const struct xt_entry_target *t =
			(const void *)(entry + target);
		const char *varies = NULL;
		bool never = false, all = is_zero(entry, l->head);
		int verdict;

		if (!next || next > l->size - at || target >= next)
			return -EPROTO;
		l->reached[at / 8] = true;
		for (uint32_t m = l->matches; m < target && !never;) {
			const struct xt_entry_match *match =
				(const void *)(entry + m);

			if (match->u.match_size < sizeof(*match) ||
			    match->u.match_size > target - m)
				return -EPROTO;
			switch (xt_match(match->u.user.name, match->data,
					 match->u.match_size - sizeof(*match),
					 match->u.user.revision)) {
			case NEVER:
				never = true;
				break;
			case VARIES:
				varies = varies ?: match->u.user.name;
				break;
			case SAME:
				break;
			}
			all &= xt_lets_all(match->u.user.name, match->data,
					   match->u.match_size - sizeof(*match),
					   match->u.user.revision);
			m += match->u.match_size;
		}
		if (!never && !varies && !is_in(t->u.user.name, same_targets))
			varies = t->u.user.name;
		if (varies && !never) {
			snprintf(text, len, "netfilter: %s %s: %s", l->program,
				 l->table, varies);
			return 1;
		}
		/* a new chain's head is the end of the one before */
		if (!strcmp(t->u.user.name, "ERROR"))
			return 0;
		verdict = *t->u.user.name
				  ? -1
				  : ((const struct xt_standard_target *)t)
					    ->verdict;
		if (verdict >= 0 && !never)
			l->todo[l->todo_count++] = verdict;
		/* nothing that is established gets past it */
		if (l->late && all && !never && !*t->u.user.name && verdict < 0)
			return 0;
		/* behind a policy another built-in chain begins */
		for (int hook = 0; hook < NF_INET_NUMHOOKS; hook++)
			if (at == l->ends[hook])
				return 0;
		at += next;
	}
	return 0;
}

static const uint8_t walks[] = { NF_INET_PRE_ROUTING, NF_INET_FORWARD,
				 NF_INET_POST_ROUTING };

#define FIND_LEGACY(FAM, AF, LEVEL, PREFIX, GET_INFO, GET_ENTRIES, PROGRAM)    \
	static int find_legacy##FAM(const char *table, bool tracked,           \
				    char *text, size_t len)                    \
	{                                                                      \
		struct PREFIX##_getinfo info = {};                             \
		struct PREFIX##_get_entries *all = NULL;                       \
		struct legacy l = { .program = PROGRAM,                        \
				    .ends = info.underflow,                    \
				    .table = table,                            \
				    .next = next##FAM,                         \
				    .target = target##FAM,                     \
				    .matches = sizeof(struct PREFIX##_entry),  \
				    .head = offsetof(struct PREFIX##_entry,    \
						     nfcache) };               \
		socklen_t length = sizeof(info);                               \
		int fd = socket(AF, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;    \
                                                                               \
		set(info.name, sizeof(info.name), table);                      \
		if (fd < 0 ||                                                  \
		    getsockopt(fd, LEVEL, GET_INFO, &info, &length)) {         \
			err = -errno;                                          \
			goto out;                                              \
		}                                                              \
		length = sizeof(*all) + info.size;                             \
		all = calloc(1, length);                                       \
		l.reached = calloc(info.size / 8 + 1, sizeof(*l.reached));     \
		l.todo = calloc(info.num_entries + 8, sizeof(*l.todo));        \
		if (!all || !l.reached || !l.todo) {                           \
			err = -ENOMEM;                                         \
			goto out;                                              \
		}                                                              \
		set(all->name, sizeof(all->name), table);                      \
		all->size = info.size;                                         \
		if (getsockopt(fd, LEVEL, GET_ENTRIES, all, &length)) {        \
			err = -errno; /* EAGAIN: it has another size by now */ \
			goto out;                                              \
		}                                                              \
		l.entries = (const char *)all->entrytable;                     \
		l.size = all->size;                                            \
		/* what is met early first: it goes further */                 \
		for (size_t i = 0; i < sizeof(walks) / sizeof(*walks); i++) {  \
			if (!(info.valid_hooks & 1U << walks[i]))              \
				continue;                                      \
			l.late = tracked && walks[i] != NF_INET_PRE_ROUTING;   \
			l.todo[l.todo_count++] = info.hook_entry[walks[i]];    \
			while (l.todo_count && !err)                           \
				err = walk_legacy(&l, l.todo[--l.todo_count],  \
						  text, len);                  \
		}                                                              \
out:                                                                           \
		free(l.reached);                                               \
		free(l.todo);                                                  \
		free(all);                                                     \
		if (fd >= 0)                                                   \
			close(fd);                                             \
		return err;                                                    \
	}
FIND_LEGACY(4, AF_INET, IPPROTO_IP, ipt, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES,
	    "iptables-legacy")
FIND_LEGACY(6, AF_INET6, IPPROTO_IPV6, ip6t, IP6T_SO_GET_INFO,
	    IP6T_SO_GET_ENTRIES, "ip6tables-legacy")

/* Only tables that are there: asking for another would load it. */
static int find_legacy(const char *list,
		       int (*find)(const char *table, bool tracked, char *text,
				   size_t len),
		       bool tracked, char *text, size_t len)
{
	FILE *file = fopen(list, "re");
	char table[NAME_SIZE];
	int err = 0;

	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (!err && fgets(table, sizeof(table), file)) {
		table[strcspn(table, "\n")] = '\0';
		if (!strcmp(table, "nat"))
			continue;
		err = -EAGAIN;
		for (int i = 0; i < DUMP_TRIES && err == -EAGAIN; i++)
			err = find(table, tracked, text, len);
	}
	if (!err && ferror(file))
		err = -EIO;
	fclose(file);
	return err;
}

/* --- both -------------------------------------------------------------- */

/*
 * May a table of legacy iptables keep conntrack off packets? Only `raw` can,
 * and whether it does is not looked at.
 */
static bool has_raw(const char *list)
{
	FILE *file = fopen(list, "re");
	char table[NAME_SIZE];
	bool has = false;

	while (file && !has && fgets(table, sizeof(table), file))
		has = !strcmp(table, "raw\n");
	if (file)
		fclose(file);
	return has;
}

#define TABLES4 "/proc/net/ip_tables_names"
#define TABLES6 "/proc/net/ip6_tables_names"

int varying_find(char *text, size_t len)
{
	bool untracked = has_raw(TABLES4) || has_raw(TABLES6), keeps = false;
	int err;

	*text = '\0';
	err = find_nft(untracked, text, len, &keeps);
	return err ?:
	       find_legacy(TABLES4, find_legacy4, !untracked && !keeps, text,
			   len) ?:
	       find_legacy(TABLES6, find_legacy6, !untracked && !keeps, text,
			   len);
}
