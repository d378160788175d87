// SPDX-License-Identifier: GPL-2.0-only
/* varying_expression.c - what the parts of a rule of nf_tables do to packets of
 * one established flow; see varying_expression.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include "base/hash.h"
#include "kernel/netlink.h"
#include "kernel/nft.h"
#include "kernel/varying_expression.h"
#include "kernel/varying_xt.h"

static void set(char *out, size_t len, const char *text)
{
	snprintf(out, len, "%s", text);
}

#define LONG_TABLE 64

/* Names may have 255 bytes, of a table as of a chain: of long ones a hash. Of a
 * table's with a slash, too: "a/b" of "t" is not "b" of "t/a". */
void varying_chain_name(char *out, uint8_t family, const char *table,
			const char *chain)
{
	size_t room = VARYING_WHERE - 18;
	int head;

	if (strlen(table) > LONG_TABLE || strchr(table, '/'))
		head = snprintf(out, VARYING_WHERE, "nft %s %.*s~%016llx/",
				nft_family(family), LONG_TABLE - 17, table,
				(unsigned long long)hash_of(table,
							    strlen(table)));
	else
		head = snprintf(out, VARYING_WHERE, "nft %s %s/",
				nft_family(family), table);
	if (head + strlen(chain) <= room)
		snprintf(out + head, VARYING_WHERE - head, "%s", chain);
	else
		snprintf(out + head, VARYING_WHERE - head, "%.*s~%016llx",
			 (int)room - head, chain,
			 (unsigned long long)hash_of(chain, strlen(chain)));
}

uint32_t varying_value(const struct nlattr *attr)
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

static void varies(struct varying_nft_rule *r, const char *what)
{
	if (r->never || *r->what)
		return;
	set(r->what, sizeof(r->what), what);
	r->what_unknown = r->unknown;
}

/* Whichever packet it is that meets the rule. */
static void lasts(struct varying_nft_rule *r, const char *what)
{
	if (!*r->what || !r->lasts)
		set(r->what, sizeof(r->what), what);
	r->lasts = true;
}

static uint8_t version(const struct varying_nft_rule *r)
{
	return r->family == NFPROTO_IPV4   ? 4
	       : r->family == NFPROTO_IPV6 ? 6
					   : r->place.version;
}

static void write_payload(struct varying_nft_rule *r,
			  const struct varying_place *place,
			  enum varying_held held)
{
	bool back = held == HELD_KEPT && place->base == r->place.base &&
		    place->at == r->place.at && place->size == r->place.size;
	uint32_t loose;

	varying_payload_read(place, &loose);
	if (!varying_payload_is_seen(place) || (loose && !back))
		varies(r, "writes into the packet");
}

static void read_payload(struct varying_nft_rule *r,
			 const struct nlattr **attrs, enum varying_held held)
{
	struct varying_place place = {
		.base = netlink_be32(attrs[NFTA_PAYLOAD_BASE]),
		.at = netlink_be32(attrs[NFTA_PAYLOAD_OFFSET]),
		.size = netlink_be32(attrs[NFTA_PAYLOAD_LEN]),
		.version = version(r),
	};
	const char *what;

	if (attrs[NFTA_PAYLOAD_SREG]) {
		write_payload(r, &place, held);
		return;
	}
	/* of UDP it is what somebody sends */
	if (place.base == NFT_PAYLOAD_TRANSPORT_HEADER && place.at == 13 &&
	    place.size == 1 && r->tcp) {
		r->held = HELD_FLAGS;
		r->mask = 0xff;
		return;
	}
	if (place.base == NFT_PAYLOAD_LL_HEADER && place.at == 12 &&
	    place.size == 2)
		r->held = HELD_FAMILY;
	if (place.base == NFT_PAYLOAD_NETWORK_HEADER && place.size == 1 &&
	    place.at == (place.version == 6 ? 6 : 9) && place.version)
		r->held = HELD_PROTOCOL;
	what = varying_payload_read(&place, &r->loose);
	if (what)
		varies(r, what);
	else if (r->loose)
		r->held = HELD_LOOSE;
	r->place = place;
}

/* enum nft_bitwise_ops of kernel 6.13 */
enum {
	BITWISE_AND = 3,
	BITWISE_OR = 4
};

static void read_bitwise(struct varying_nft_rule *r,
			 const struct nlattr **attrs, enum varying_held held)
{
	/* older kernels have no other, and do not name it */
	uint32_t op = attrs[NFTA_BITWISE_OP]
			      ? netlink_be32(attrs[NFTA_BITWISE_OP])
			      : NFT_BITWISE_BOOL;
	uint32_t mask = varying_value(attrs[NFTA_BITWISE_MASK]);
	uint32_t with = varying_value(attrs[NFTA_BITWISE_XOR]);
	bool plain = op == NFT_BITWISE_BOOL && !with;

	r->turns |= op == NFT_BITWISE_BOOL
			    ? mask & with
			    : op != BITWISE_AND && op != BITWISE_OR;
	switch (held) {
	case HELD_LOOSE:
		if (op == NFT_BITWISE_BOOL && !(mask & r->loose))
			break;
		if (op == NFT_BITWISE_BOOL && !(with & r->loose) &&
		    (mask & r->loose) == r->loose)
			r->held = HELD_KEPT;
		else
			varies(r, "ECN, DF or a flow label");
		break;
	case HELD_FLAGS:
		if (plain)
			r->held = held;
		else
			varies(r, "TCP flags");
		break;
	case HELD_STATE:
		if (plain)
			r->held = held;
		break;
	case HELD_MARK:
		r->held = held;
		break;
	default:
		break;
	}
	r->mask &= mask;
}

/* Has it read what conntrack keeps, it writes something else each time. */
static void read_ct(struct varying_nft_rule *r, const struct nlattr **attrs)
{
	if (attrs[NFTA_CT_SREG]) {
		r->rules->marks |= r->packet ? VARYING_SAVES : 0;
		if (r->marked || (r->mark && r->turns))
			varies(r, VARYING_TURNED);
		return;
	}
	switch (netlink_be32(attrs[NFTA_CT_KEY])) {
	case NFT_CT_STATE:
		r->held = HELD_STATE;
		r->mask = UINT32_MAX;
		r->rules->tracked = true;
		return;
	case NFT_CT_MARK:
	case NFT_CT_LABELS:
		r->held = HELD_MARK;
		r->mark = true;
		return;
	case NFT_CT_EXPIRATION:
	case NFT_CT_BYTES:
	case NFT_CT_PKTS:
	case NFT_CT_AVGPKT:
		varies(r, "how much a connection has had");
	}
}

static void read_meta(struct varying_nft_rule *r, const struct nlattr **attrs)
{
	uint32_t key = netlink_be32(attrs[NFTA_META_KEY]);

	if (attrs[NFTA_META_SREG]) {
		if (key == NFT_META_NFTRACE)
			varies(r, "traces packets");
		r->rules->marks |= r->mark ? VARYING_RESTORES : 0;
		r->turned |= r->turns && (r->mark || r->packet);
		return;
	}
	switch (key) {
	case NFT_META_NFPROTO:
	case NFT_META_PROTOCOL:
		r->held = HELD_FAMILY;
		return;
	case NFT_META_L4PROTO:
		r->held = HELD_PROTOCOL;
		return;
	case NFT_META_LEN:
	case NFT_META_CPU:
	case NFT_META_PRANDOM:
	case NFT_META_TIME_NS:
	case NFT_META_TIME_DAY:
	case NFT_META_TIME_HOUR:
		varies(r, "a length, a time, a processor or chance");
		return;
	case NFT_META_MARK:
		r->packet = true;
		return;
	case NFT_META_PRIORITY:
		varies(r, "a priority that the sender gives");
		return;
	case NFT_META_SECPATH:
		varies(r, "whether it came by IPsec");
	}
}

/* A packet that has options, or headers between IP's and the ports', takes the
 * stack: what is asked about one that is not there is the same for all others. */
static void read_header(struct varying_nft_rule *r, const struct nlattr **attrs)
{
	uint32_t op = attrs[NFTA_EXTHDR_OP]
			      ? netlink_be32(attrs[NFTA_EXTHDR_OP])
			      : NFT_EXTHDR_OP_IPV6;
	uint32_t flags = attrs[NFTA_EXTHDR_FLAGS]
				 ? netlink_be32(attrs[NFTA_EXTHDR_FLAGS])
				 : 0;

	if (attrs[NFTA_EXTHDR_SREG] ||
	    ((op != NFT_EXTHDR_OP_IPV6 || version(r) != 6) &&
	     (op != NFT_EXTHDR_OP_IPV4 || version(r) != 4)))
		varies(r, "exthdr");
	else
		r->never |= !(flags & NFT_EXTHDR_F_PRESENT);
}

static void read_compare(struct varying_nft_rule *r,
			 const struct nlattr **attrs, enum varying_held held)
{
	uint32_t op = netlink_be32(attrs[NFTA_CMP_OP]);
	uint32_t value = varying_value(attrs[NFTA_CMP_DATA]);
	bool partly = r->partly;

	r->partly = true;
	if (held == HELD_FAMILY && op == NFT_CMP_EQ) {
		r->place.version =
			value == NFPROTO_IPV4 || value == htons(ETH_P_IP) ? 4
			: value == NFPROTO_IPV6 || value == htons(ETH_P_IPV6)
				? 6
				: 0;
	} else if (held == HELD_PROTOCOL && op == NFT_CMP_EQ) {
		r->never |= value != IPPROTO_TCP && value != IPPROTO_UDP;
		r->tcp = value == IPPROTO_TCP;
	} else if (held == HELD_MARK && op == NFT_CMP_EQ && value) {
		r->marked = true;
	} else if (held == HELD_FLAGS) {
		if ((op == NFT_CMP_EQ && value & VARYING_FLAGS_NEVER) ||
		    (op == NFT_CMP_EQ && r->mask & ~value & VARYING_ACK) ||
		    (op == NFT_CMP_NEQ && !value &&
		     !(r->mask & ~VARYING_FLAGS_NEVER)))
			r->never = true;
		else if (r->mask & VARYING_FLAGS)
			varies(r, "TCP flags");
	} else if (held == HELD_STATE) {
		bool has = r->mask & VARYING_ESTABLISHED;

		if (op == NFT_CMP_NEQ && !value && has)
			r->partly = partly;
		/* one of these states */
		if ((op == NFT_CMP_NEQ && !value && !has) ||
		    (op == NFT_CMP_EQ && value &&
		     !(value & VARYING_ESTABLISHED)))
			r->unknown = true;
		/* none of these, not this one */
		if ((op == NFT_CMP_EQ && !value && has) ||
		    (op == NFT_CMP_NEQ && value == VARYING_ESTABLISHED && has))
			r->unknown = true;
	}
}

static void read_jump(struct varying_nft_rule *r, const struct nlattr *data)
{
	const struct nlattr *verdict[NETLINK_ATTRS];

	if (!nft_verdict(data, verdict))
		return;
	switch ((int32_t)netlink_be32(verdict[NFTA_VERDICT_CODE])) {
	case NF_QUEUE:
		varies(r, "queue");
		break;
	case NFT_JUMP:
		r->jump.sure = true;
		break;
	case NFT_RETURN:
	case NFT_GOTO:
		r->leaves = true;
		r->ends = true;
		break;
	case NF_ACCEPT:
	case NF_DROP:
		r->ends = true;
	}
	if (verdict[NFTA_VERDICT_CHAIN])
		varying_chain_name(
			r->jump.to, r->family, r->table,
			*r->jump.to ? ""
				    : netlink_str(verdict[NFTA_VERDICT_CHAIN]));
	r->map = NULL; /* more than one may lead from here */
}

/* Are these a rule's own set of conntrack's states, read together with it? */
static bool are_states(const struct varying_nft_rule *r,
		       const struct varying_set *set, enum varying_held held)
{
	return set && held == HELD_STATE && r->mask == UINT32_MAX &&
	       set->plain && set->generation == r->generation;
}

static void read_lookup(struct varying_nft_rule *r, const struct nlattr **attrs,
			enum varying_held held)
{
	const char *name = netlink_str(attrs[NFTA_LOOKUP_SET]);
	const struct varying_set *set =
		held == HELD_STATE || r->rules->sets_vary
			? varying_find_set(r->rules, r->family, r->table, name)
			: NULL;
	bool map = netlink_be32(attrs[NFTA_LOOKUP_DREG]) == NFT_REG_VERDICT;
	bool not = attrs[NFTA_LOOKUP_FLAGS] &&
		   netlink_be32(attrs[NFTA_LOOKUP_FLAGS]) & NFT_LOOKUP_F_INV;

	if (set && set->vary)
		varies(r, "a set of elements with a limit or the like");
	if (!are_states(r, set, held))
		set = NULL;
	if (map) { /* it may say so of some that are not established */
		r->map = *r->jump.to ? NULL : name;
		varying_chain_name(r->jump.to, r->family, r->table, "");
	}
	if (set && set->established == not ) {
		r->unknown = true;
	} else if (set && map &&
		   (set->verdict == NF_ACCEPT || set->verdict == NF_DROP)) {
		r->ends = true;
		r->jump.behind = true;
	} else if (!set || map) {
		r->partly = true;
		r->leaves |= map;
	}
}

static void read_target(struct varying_nft_rule *r, const struct nlattr **attrs)
{
	const char *target = netlink_str(attrs[NFTA_TARGET_NAME]);
	const struct nlattr *info = attrs[NFTA_TARGET_INFO];
	const void *data = info ? mnl_attr_get_payload(info) : NULL;
	size_t size = info ? mnl_attr_get_payload_len(info) : 0;
	uint32_t rev = netlink_be32(attrs[NFTA_TARGET_REV]);
	uint8_t mark = info ? varying_xt_mark(target, data, size, rev) : 0;

	r->turned |= mark & VARYING_TURNS;
	r->rules->marks |= mark & VARYING_AGAIN;
	if (varying_xt_helps(target, data, size))
		lasts(r, target);
	else if (!info || !varying_xt_target(target, data, size, rev) ||
		 (r->marked && varying_xt_marks(target, data, size, rev)))
		varies(r, target);
}

int varying_expression(const struct nlattr *element, void *data)
{
	static const char *const same[] = { "byteorder", "counter", "range",
					    "fib",	 "rt",	    "masq",
					    "nat",	 "redir",   "notrack",
					    "reject",	 "hash",    "socket",
					    "last",	 NULL };
	const struct nlattr *attrs[NETLINK_ATTRS];
	const char *name = nft_expression(element, attrs);
	struct varying_nft_rule *r = data;
	enum varying_held held = r->held;

	if (!name)
		return MNL_CB_OK;
	r->held = HELD_OTHER;
	/* what differs goes elsewhere than into a comparison */
	if (held == HELD_LOOSE && strcmp(name, "bitwise"))
		varies(r, "ECN, DF or a flow label");
	if (held == HELD_KEPT && strcmp(name, "payload"))
		varies(r, "ECN, DF or a flow label");
	if (held == HELD_FLAGS && r->mask & VARYING_FLAGS &&
	    strcmp(name, "bitwise") && strcmp(name, "cmp"))
		varies(r, "TCP flags");
	if (held == HELD_MARK && strcmp(name, "bitwise") &&
	    strcmp(name, "cmp") && strcmp(name, "meta") && strcmp(name, "ct"))
		r->marked = true; /* by a set, a map, a range, a hash */
	/* what has no say in whether the next expression is met */
	if (strcmp(name, "ct") && strcmp(name, "bitwise") &&
	    strcmp(name, "cmp") && strcmp(name, "counter") &&
	    strcmp(name, "immediate") && strcmp(name, "match") &&
	    strcmp(name, "lookup"))
		r->partly = true;
	if (!strcmp(name, "payload")) {
		read_payload(r, attrs, held);
	} else if (!strcmp(name, "ct")) {
		read_ct(r, attrs);
	} else if (!strcmp(name, "meta")) {
		read_meta(r, attrs);
	} else if (!strcmp(name, "bitwise")) {
		read_bitwise(r, attrs, held);
	} else if (!strcmp(name, "exthdr")) {
		read_header(r, attrs);
	} else if (!strcmp(name, "cmp")) {
		read_compare(r, attrs, held);
	} else if (!strcmp(name, "lookup")) {
		read_lookup(r, attrs, held);
	} else if (!strcmp(name, "immediate")) {
		read_jump(r, attrs[NFTA_IMMEDIATE_DATA]);
	} else if (!strcmp(name, "objref")) {
		uint32_t type = netlink_be32(attrs[NFTA_OBJREF_IMM_TYPE]);

		if (type == NFT_OBJECT_CT_HELPER)
			lasts(r, "a helper of conntrack's");
		else if (type != NFT_OBJECT_COUNTER &&
			 type != NFT_OBJECT_SECMARK)
			varies(r, "a quota, limit or other object");
	} else if (!strcmp(name, "match") && attrs[NFTA_MATCH_NAME] &&
		   attrs[NFTA_MATCH_INFO]) {
		const struct nlattr *info = attrs[NFTA_MATCH_INFO];
		const char *match = netlink_str(attrs[NFTA_MATCH_NAME]);
		uint32_t rev = netlink_be32(attrs[NFTA_MATCH_REV]);

		r->rules->tracked |= varying_xt_by_state(match);
		r->marked |= varying_xt_by_mark(match,
						mnl_attr_get_payload(info),
						mnl_attr_get_payload_len(info));
		r->partly |= !varying_xt_lets_all(
			match, mnl_attr_get_payload(info),
			mnl_attr_get_payload_len(info), rev);
		switch (varying_xt_match(match, mnl_attr_get_payload(info),
					 mnl_attr_get_payload_len(info), rev)) {
		case VARYING_SAME:
			break;
		case VARYING_NEVER:
			r->never = true;
			break;
		case VARYING_UNKNOWN:
			r->unknown = true;
			break;
		case VARYING_VARIES:
			varies(r, match);
		}
	} else if (!strcmp(name, "target") && attrs[NFTA_TARGET_NAME]) {
		read_target(r, attrs);
	} else if (!varying_is_in(name, same)) {
		varies(r, name);
	}
	return MNL_CB_OK;
}
