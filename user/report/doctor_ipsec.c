// SPDX-License-Identifier: GPL-2.0-only
/* doctor_ipsec.c - policies of IPsec that encrypt pods' packets before our hook. */
#include <errno.h>
#include <string.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>
#include "kernel/netlink.h"
#include "report/doctor.h"
#include "report/pods.h"

#define SHOWN_POLICIES 8

struct ipsec {
	struct xfrm_selector shown[SHOWN_POLICIES];
	size_t count; /* that encrypt what leaves */
};

static int find_template(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == XFRMA_TMPL &&
	    mnl_attr_get_payload_len(attr))
		*(bool *)data = true;
	return MNL_CB_OK;
}

static int add_policy(const struct nlmsghdr *message, void *data)
{
	const struct xfrm_userpolicy_info *info =
		mnl_nlmsg_get_payload(message);
	struct ipsec *out = data;
	bool transforms = false;

	mnl_attr_parse(message, sizeof(*info), find_template, &transforms);
	/* one without a template lets packets by as they are */
	if (info->dir != XFRM_POLICY_OUT || info->action != XFRM_POLICY_ALLOW ||
	    !transforms)
		return MNL_CB_OK;
	if (out->count < SHOWN_POLICIES)
		out->shown[out->count] = info->sel;
	out->count++;
	return MNL_CB_OK;
}

static struct cidr selector(const struct xfrm_selector *sel, bool source)
{
	struct cidr cidr = { .addr.family = sel->family == AF_INET ? 4 : 6,
			     .plen = source ? sel->prefixlen_s
					    : sel->prefixlen_d };

	memcpy(cidr.addr.a, source ? &sel->saddr : &sel->daddr,
	       cidr.addr.family == 4 ? 4 : 16);
	return cidr;
}

static void judge_ipsec(struct doctor *d, const struct xfrm_selector *sel)
{
	struct cidr from = selector(sel, true), to = selector(sel, false);
	char source[CIDR_STRLEN], dest[CIDR_STRLEN];

	cidr_format(&from, source, sizeof(source));
	cidr_format(&to, dest, sizeof(dest));
	if (doctor_pods_in(d, &from) == PODS_NONE)
		doctor_add(d, DOCTOR_NOTE, "ipsec", NULL,
			   "policy %s -> %s encrypts no pods' packets", source,
			   dest);
	else
		doctor_add(
			d, DOCTOR_WARNING, "ipsec",
			"ip xfrm policy; keep the destination (nonMasqueradeCIDRs), or use a VPN with an interface and attach that",
			"policy %s -> %s encrypts before our hook: what matches it leaves with pods' addresses inside, whatever the prefix says",
			source, dest);
}

void doctor_check_ipsec(struct doctor *d)
{
	const struct xfrm_userpolicy_id head = {};
	struct ipsec ipsec = {};
	int err = netlink_all(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &head,
			      sizeof(head), sizeof(head), add_policy, &ipsec);

	for (size_t i = 0; i < ipsec.count && i < SHOWN_POLICIES; i++)
		judge_ipsec(d, &ipsec.shown[i]);
	if (ipsec.count > SHOWN_POLICIES)
		doctor_add(d, DOCTOR_WARNING, "ipsec", "ip xfrm policy",
			   "and %zu policies more that encrypt",
			   ipsec.count - SHOWN_POLICIES);
	if (err && err != -EPROTONOSUPPORT) /* a kernel without IPsec */
		doctor_add(
			d, DOCTOR_UNKNOWN, "ipsec", "ip xfrm policy, as root",
			"not all policies could be read (%s): whether they encrypt pods' packets is not known",
			strerror(-err));
	else if (!ipsec.count)
		doctor_add(d, DOCTOR_OK, "ipsec", NULL,
			   "no policy encrypts what leaves");
}
