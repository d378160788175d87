// SPDX-License-Identifier: GPL-2.0-only
/* netdev_rule.c - messages of rtnetlink: a routing rule each, and for whom its
 * table is. */
#include <errno.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include "kernel/netdev_parse.h"
#include "kernel/netlink.h"

/*
 * Does the rule go by something of a packet beside where it goes to? One for all
 * that have not got a mark is for ordinary packets.
 */
static bool is_for_some(const struct fib_rule_hdr *head,
			const struct nlmsghdr *message)
{
	const struct nlattr *attr;

	if (head->flags & FIB_RULE_INVERT)
		return false;
	if (head->src_len || head->tos)
		return true;
	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		switch (mnl_attr_get_type(attr)) {
		case FRA_DST:
		case FRA_PRIORITY:
		case FRA_TABLE:
		case FRA_SUPPRESS_PREFIXLEN:
		case FRA_SUPPRESS_IFGROUP:
		case FRA_PROTOCOL:
		case FRA_L3MDEV:
		case FRA_FLOW:
		case FRA_FWMASK:
		case FRA_PAD:
			break;
		default:
			return true;
		}
	}
	return false;
}

/* Does it go by what only the node's own packets have: a user, a socket's
 * interface, none that they came in by? */
static bool is_for_the_node(const struct fib_rule_hdr *head,
			    const struct nlmsghdr *message)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (type == FRA_UID_RANGE || type == FRA_OIFNAME ||
		    (type == FRA_IIFNAME && !strcmp(netlink_str(attr), "lo")))
			return !(head->flags & FIB_RULE_INVERT);
	}
	return false;
}

/* FRA_FLOWLABEL of kernel 6.14 */
#define BY_FLOW_LABEL 26

int netdev_rule_message(const struct nlmsghdr *message, void *data)
{
	const struct fib_rule_hdr *head = mnl_nlmsg_get_payload(message);
	uint8_t family = head->family == AF_INET ? 4 : 6;
	struct netdev *netdev = data;
	const struct nlattr *attr;
	struct netdev_table *table;
	uint32_t id = head->table;

	if (head->family != AF_INET && head->family != AF_INET6)
		return 0;
	mnl_attr_for_each(attr, message, sizeof(*head))
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (type == FRA_TABLE)
			id = netlink_u32(attr);
		netdev->rule_varies |= type == FRA_TUN_ID ||
				       type == BY_FLOW_LABEL;
	}
	/* before kernel 5.18 by the whole traffic class, ECN too */
	netdev->rule_varies |= family == 6 && head->tos;
	if (head->action != FR_ACT_TO_TBL)
		return 0;
	table = netdev_add_table(netdev, family, id);
	if (!table)
		return -ENOMEM;
	table->all |= !is_for_some(head, message);
	table->forwarded |= !is_for_the_node(head, message);
	return 0;
}
