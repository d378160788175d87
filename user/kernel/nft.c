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

/* Up to 255 bytes, as all of nf_tables' names have. */
static size_t put_name(char *at, uint16_t type, const char *name)
{
	struct nlattr *attr = (struct nlattr *)at;
	size_t length = strnlen(name, 255);

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + length + 1;
	memcpy(at + NLA_HDRLEN, name, length);
	return NLA_ALIGN(attr->nla_len);
}

int nft_dump(uint16_t type, uint8_t family, mnl_cb_t each, void *data)
{
	const struct nfgenmsg head = { .nfgen_family = family };

	return netlink_all(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | type,
			   &head, sizeof(head), sizeof(head), each, data);
}

int nft_dump_set(uint8_t family, const char *table, const char *set,
		 mnl_cb_t each, void *data)
{
	char buf[sizeof(struct nfgenmsg) +
		 2 * MNL_ALIGN(NLA_HDRLEN + 256)] = {};
	struct nfgenmsg *head = (struct nfgenmsg *)buf;
	size_t size = sizeof(*head);

	head->nfgen_family = family;
	size += put_name(buf + size, NFTA_SET_ELEM_LIST_TABLE, table);
	size += put_name(buf + size, NFTA_SET_ELEM_LIST_SET, set);
	return netlink_all(NETLINK_NETFILTER,
			   NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, buf,
			   size, sizeof(*head), each, data);
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
