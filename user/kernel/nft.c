// SPDX-License-Identifier: GPL-2.0-only
/* nft.c - asks nf_tables, opens its expressions. */
#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include "kernel/nft.h"

const char *nft_family(uint8_t family)
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

int nft_dump(uint16_t type, uint8_t family, mnl_cb_t each, void *data)
{
	const struct nfgenmsg head = { .nfgen_family = family };

	return netlink_all(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | type,
			   &head, sizeof(head), each, data);
}

bool nft_is_absent(int err)
{
	return err == -EINVAL || err == -EPROTONOSUPPORT;
}

const char *nft_expression(const struct nlattr *element,
			   const struct nlattr *attrs[NETLINK_ATTRS])
{
	const struct nlattr *expr[NETLINK_ATTRS] = {};

	memset(attrs, 0, NETLINK_ATTRS * sizeof(*attrs));
	mnl_attr_parse_nested(element, netlink_collect, expr);
	if (!expr[NFTA_EXPR_NAME])
		return NULL;
	if (expr[NFTA_EXPR_DATA])
		mnl_attr_parse_nested(expr[NFTA_EXPR_DATA], netlink_collect,
				      attrs);
	return netlink_str(expr[NFTA_EXPR_NAME]);
}

bool nft_verdict(const struct nlattr *data,
		 const struct nlattr *verdict[NETLINK_ATTRS])
{
	const struct nlattr *value[NETLINK_ATTRS] = {};

	memset(verdict, 0, NETLINK_ATTRS * sizeof(*verdict));
	if (!data)
		return false;
	mnl_attr_parse_nested(data, netlink_collect, value);
	if (!value[NFTA_DATA_VERDICT])
		return false;
	mnl_attr_parse_nested(value[NFTA_DATA_VERDICT], netlink_collect,
			      verdict);
	return true;
}
