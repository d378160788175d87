// SPDX-License-Identifier: GPL-2.0-only
/* conntrack.c - a dump of the kernel's conntrack table. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "kernel/conntrack.h"
#include "kernel/netlink.h"

/* There as soon as the module is; a dump without it would load it. */
#define PROC_COUNT "/proc/sys/net/netfilter/nf_conntrack_count"
#define PROC_NET   "/proc/sys/net"

bool conntrack_has_snat(const struct conntrack *ct)
{
	return ct->reply.dport != ct->orig.sport ||
	       !addr_equal(&ct->reply.dst, &ct->orig.src);
}

bool conntrack_has_dnat(const struct conntrack *ct)
{
	return ct->reply.sport != ct->orig.dport ||
	       !addr_equal(&ct->reply.src, &ct->orig.dst);
}

static void read_addr(const struct nlattr *attr, struct addr *out)
{
	size_t length = mnl_attr_get_payload_len(attr);

	if (length != 4 && length != 16)
		return;
	memset(out, 0, sizeof(*out));
	out->family = length == 4 ? 4 : 6;
	memcpy(out->a, mnl_attr_get_payload(attr), length);
}

static __be16 read_port(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) == 2 ? netlink_u16(attr) : 0;
}

static void read_proto(const struct nlattr *nest, struct conntrack *ct,
		       struct conntrack_tuple *tuple)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		switch (mnl_attr_get_type(attr)) {
		case CTA_PROTO_NUM:
			ct->proto = netlink_u8(attr);
			break;
		case CTA_PROTO_SRC_PORT:
			tuple->sport = read_port(attr);
			break;
		case CTA_PROTO_DST_PORT:
			tuple->dport = read_port(attr);
			break;
		case CTA_PROTO_ICMP_ID:
		case CTA_PROTO_ICMPV6_ID:
			tuple->sport = tuple->dport = read_port(attr);
			break;
		case CTA_PROTO_ICMP_TYPE:
		case CTA_PROTO_ICMPV6_TYPE:
			if (tuple == &ct->orig)
				ct->icmp_type = netlink_u8(attr);
			break;
		}
	}
}

static void read_tuple(const struct nlattr *nest, struct conntrack *ct,
		       struct conntrack_tuple *tuple)
{
	const struct nlattr *attr, *ip;

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == CTA_TUPLE_PROTO)
			read_proto(attr, ct, tuple);
		if (mnl_attr_get_type(attr) != CTA_TUPLE_IP)
			continue;
		mnl_attr_for_each_nested(ip, attr)
		{
			switch (mnl_attr_get_type(ip)) {
			case CTA_IP_V4_SRC:
			case CTA_IP_V6_SRC:
				read_addr(ip, &tuple->src);
				break;
			case CTA_IP_V4_DST:
			case CTA_IP_V6_DST:
				read_addr(ip, &tuple->dst);
				break;
			}
		}
	}
}

static void read_protoinfo(const struct nlattr *nest, struct conntrack *ct)
{
	const struct nlattr *attr, *tcp;

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) != CTA_PROTOINFO_TCP)
			continue;
		mnl_attr_for_each_nested(tcp, attr)
		{
			if (mnl_attr_get_type(tcp) == CTA_PROTOINFO_TCP_STATE)
				ct->tcp_state = netlink_u8(tcp);
		}
	}
}

struct walk {
	int (*each)(void *data, const struct conntrack *ct);
	void *data;
	int err;
};

static int message(const struct nlmsghdr *header, void *data)
{
	struct walk *walk = data;
	struct conntrack ct = {};
	const struct nlattr *attr;

	mnl_attr_for_each(attr, header, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case CTA_TUPLE_ORIG:
			read_tuple(attr, &ct, &ct.orig);
			break;
		case CTA_TUPLE_REPLY:
			read_tuple(attr, &ct, &ct.reply);
			break;
		case CTA_STATUS:
			ct.status = ntohl(netlink_u32(attr));
			break;
		case CTA_ID:
			ct.id = mnl_attr_get_u32(attr);
			break;
		case CTA_TIMEOUT:
			ct.timeout = ntohl(netlink_u32(attr));
			break;
		case CTA_PROTOINFO:
			read_protoinfo(attr, &ct);
			break;
		}
	}
	if (!ct.orig.src.family || !ct.reply.src.family)
		return MNL_CB_OK;
	walk->err = walk->each(walk->data, &ct);
	return walk->err ? MNL_CB_ERROR : MNL_CB_OK;
}

uint64_t conntrack_count(void)
{
	FILE *file = fopen(PROC_COUNT, "re");
	unsigned long count = 0;

	if (file) {
		if (fscanf(file, "%lu", &count) != 1)
			count = 0;
		fclose(file);
	}
	return count;
}

int conntrack_walk(int (*each)(void *data, const struct conntrack *ct),
		   void *data)
{
	const struct nfgenmsg head = { .nfgen_family = AF_UNSPEC };
	struct walk walk = { .each = each, .data = data };
	struct stat st;
	int err;

	/* "not there" is an answer only where the kernel's settings are */
	if (stat(PROC_COUNT, &st))
		return errno != ENOENT	     ? -errno
		       : stat(PROC_NET, &st) ? -EIO
					     : -ENOENT;
	err = netlink_all(NETLINK_NETFILTER,
			  NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, &head,
			  sizeof(head), sizeof(head), message, &walk);
	return walk.err ?: err == -EPROTONOSUPPORT ? -ENOENT : err;
}

static void put_tuple(struct nlmsghdr *header, const struct conntrack *ct)
{
	const struct conntrack_tuple *tuple = &ct->orig;
	bool ipv4 = tuple->src.family == 4;
	struct nlattr *nest = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
	struct nlattr *inner = mnl_attr_nest_start(header, CTA_TUPLE_IP);

	mnl_attr_put(header, ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC,
		     ipv4 ? 4 : 16, tuple->src.a);
	mnl_attr_put(header, ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST,
		     ipv4 ? 4 : 16, tuple->dst.a);
	mnl_attr_nest_end(header, inner);
	inner = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(header, CTA_PROTO_NUM, ct->proto);
	if (ct->proto == IPPROTO_ICMP || ct->proto == IPPROTO_ICMPV6) {
		bool icmp = ct->proto == IPPROTO_ICMP;

		mnl_attr_put_u16(header,
				 icmp ? CTA_PROTO_ICMP_ID : CTA_PROTO_ICMPV6_ID,
				 tuple->sport);
		mnl_attr_put_u8(header,
				icmp ? CTA_PROTO_ICMP_TYPE
				     : CTA_PROTO_ICMPV6_TYPE,
				ct->icmp_type);
		mnl_attr_put_u8(
			header,
			icmp ? CTA_PROTO_ICMP_CODE : CTA_PROTO_ICMPV6_CODE, 0);
	} else {
		mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, tuple->sport);
		mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, tuple->dport);
	}
	mnl_attr_nest_end(header, inner);
	mnl_attr_nest_end(header, nest);
}

static void put_liberal(struct nlmsghdr *header)
{
	const struct nf_ct_tcp_flags flags = {
		.flags = IP_CT_TCP_FLAG_BE_LIBERAL,
		.mask = IP_CT_TCP_FLAG_BE_LIBERAL,
	};
	struct nlattr *nest = mnl_attr_nest_start(header, CTA_PROTOINFO),
		      *tcp = mnl_attr_nest_start(header, CTA_PROTOINFO_TCP);

	mnl_attr_put(header, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(flags),
		     &flags);
	mnl_attr_put(header, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(flags),
		     &flags);
	mnl_attr_nest_end(header, tcp);
	mnl_attr_nest_end(header, nest);
}

/* A request for each of them: to be deleted, or changed. */
static int tell(uint8_t type, const struct conntrack *list, size_t count)
{
	struct mnl_socket *socket =
		mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	/* zeroed: what pads an attribute goes to the kernel as well */
	char buf[512] __attribute__((aligned(NLMSG_ALIGNTO))) = {};
	int err = socket ? 0 : -errno;

	/* done when it is sent; an answer says only what is gone already */
	for (size_t i = 0; i < count && !err; i++) {
		struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
		struct nfgenmsg *head;

		header->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
		header->nlmsg_flags = NLM_F_REQUEST;
		head = mnl_nlmsg_put_extra_header(header, sizeof(*head));
		*head = (struct nfgenmsg){
			.nfgen_family = list[i].orig.src.family == 4 ? AF_INET
								     : AF_INET6,
			.version = NFNETLINK_V0,
		};
		put_tuple(header, &list[i]);
		if (type == IPCTNL_MSG_CT_DELETE)
			mnl_attr_put_u32(header, CTA_ID, list[i].id);
		else
			put_liberal(header);
		if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
			err = -errno;
	}
	if (socket)
		mnl_socket_close(socket);
	return err;
}

int conntrack_delete(const struct conntrack *list, size_t count)
{
	return tell(IPCTNL_MSG_CT_DELETE, list, count);
}

/* Without NLM_F_CREATE: one that is there is changed, and none is made. */
int conntrack_be_liberal(const struct conntrack *list, size_t count)
{
	return tell(IPCTNL_MSG_CT_NEW, list, count);
}
