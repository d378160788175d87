// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/netlink.h"
#include "kernel/rule.h"

/* Of kernel 6.15: which bits of the port, all where nothing is said. */
#define DPORT_MASK 29

struct met {
	const struct addr *dst, *src;
	const struct netdev_kind *kind;
	char iif[IF_NAMESIZE]; /* "lo": the node itself */
	bool unreachable;
};

/* Types of what a rule may go by or do, where this packet has an answer to it. */
static bool is_decided(uint16_t type, const struct met *met)
{
	switch (type) {
	case FRA_SRC:
		return met->src;
	case FRA_IP_PROTO:
		return met->kind && met->kind->proto;
	case FRA_DPORT_RANGE:
		return met->kind && met->kind->port;
	case FRA_GOTO:
	case FRA_TUN_ID:
	case FRA_OIFNAME:
	case FRA_L3MDEV:
	case FRA_UID_RANGE:
	case FRA_SPORT_RANGE:
		return false;
	default:
		return type <= FRA_DPORT_RANGE;
	}
}

static bool is_whole_mask(const struct nlattr *attr)
{
	return mnl_attr_get_type(attr) == DPORT_MASK &&
	       netlink_u16(attr) == UINT16_MAX;
}

static bool prefix_has(const struct nlattr *attr, uint8_t length,
		       const struct addr *addr)
{
	struct cidr prefix = { .plen = length }, host;
	size_t size;

	if (!attr)
		return true;
	size = addr->family == 4 ? 4 : 16;
	if (mnl_attr_get_payload_len(attr) != size || length > 8 * size)
		return false;
	prefix.addr.family = addr->family;
	memcpy(prefix.addr.a, mnl_attr_get_payload(attr), size);
	prefix = cidr_of(&prefix.addr, length);
	host = cidr_of(addr, 8 * size);
	return cidr_covers(&prefix, &host);
}

static bool range_has(const struct nlattr *attr, uint16_t port)
{
	struct fib_rule_port_range range;

	if (mnl_attr_get_payload_len(attr) != sizeof(range))
		return false;
	memcpy(&range, mnl_attr_get_payload(attr), sizeof(range));
	return ntohs(port) >= range.start && ntohs(port) <= range.end;
}

static bool fits(struct nlattr *const *at, const struct fib_rule_hdr *head,
		 const struct met *met)
{
	return prefix_has(at[FRA_DST], head->dst_len, met->dst) &&
	       prefix_has(at[FRA_SRC], head->src_len, met->src) &&
	       (!at[FRA_IIFNAME] ||
		!strcmp(netlink_str(at[FRA_IIFNAME]), met->iif)) &&
	       (!at[FRA_FWMARK] || !netlink_u32(at[FRA_FWMARK])) &&
	       (!at[FRA_IP_PROTO] ||
		netlink_u8(at[FRA_IP_PROTO]) == met->kind->proto) &&
	       (!at[FRA_DPORT_RANGE] ||
		range_has(at[FRA_DPORT_RANGE], met->kind->port)) &&
	       !head->tos;
}

static int each_rule(const struct nlmsghdr *message, void *data)
{
	const struct fib_rule_hdr *head = mnl_nlmsg_get_payload(message);
	struct nlattr *at[NETLINK_ATTRS] = { NULL };
	const struct nlattr *attr;
	struct met *met = data;

	if (head->action != FR_ACT_UNREACHABLE)
		return 0;
	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		if (!is_decided(mnl_attr_get_type(attr), met) &&
		    !is_whole_mask(attr))
			return 0;
	}
	mnl_attr_parse(message, sizeof(*head), netlink_collect, at);
	if (fits(at, head, met) == !(head->flags & FIB_RULE_INVERT))
		met->unreachable = true;
	return 0;
}

static void begin(void *data)
{
	((struct met *)data)->unreachable = false;
}

bool rule_says_unreachable(const struct addr *dst, const struct addr *src,
			   uint32_t iif, const struct netdev_kind *kind)
{
	const struct fib_rule_hdr head = {
		.family = dst->family == 4 ? AF_INET : AF_INET6,
	};
	struct met met = { .dst = dst, .src = src, .kind = kind, .iif = "lo" };

	if (iif && !if_indextoname(iif, met.iif))
		return false;
	return !netlink_dump(RTM_GETRULE, &head, sizeof(head), each_rule, begin,
			     &met) &&
	       met.unreachable;
}
