// SPDX-License-Identifier: GPL-2.0-only
/* ipset.c - see ipset.h. */
#include <arpa/inet.h>
#include <string.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include "kernel/ipset.h"
#include "kernel/netlink.h"

#define UNKNOWN 2

static int macs = UNKNOWN;

static int read_set(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attrs[NETLINK_ATTRS] = {};

	mnl_attr_parse(message, sizeof(struct nfgenmsg), netlink_collect,
		       attrs);
	/* hash:mac, hash:ip,mac, bitmap:ip,mac */
	if (attrs[IPSET_ATTR_TYPENAME] &&
	    strstr(netlink_str(attrs[IPSET_ATTR_TYPENAME]), "mac"))
		*(bool *)data = true;
	return MNL_CB_OK;
}

/* Of every set what it is, without its elements. */
static int ask(void)
{
	const struct {
		struct nfgenmsg head;
		struct nlattr protocol_attr;
		uint8_t protocol, pad[3];
		struct nlattr flags_attr;
		uint32_t flags;
	} all = {
		.protocol_attr = { NLA_HDRLEN + sizeof(uint8_t),
				   IPSET_ATTR_PROTOCOL },
		.protocol = IPSET_PROTOCOL_MIN,
		.flags_attr = { NLA_HDRLEN + sizeof(uint32_t),
				IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER },
		.flags = htonl(IPSET_FLAG_LIST_HEADER),
	};
	bool found = false;
	int err = netlink_all(NETLINK_NETFILTER,
			      NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST, &all,
			      sizeof(all), sizeof(all.head), read_set, &found);

	return err ?: found;
}

int ipset_has_macs(void)
{
	if (macs == UNKNOWN)
		macs = ask();
	return macs;
}

void ipset_forget(void)
{
	macs = UNKNOWN;
}
