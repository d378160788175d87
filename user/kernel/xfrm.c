// SPDX-License-Identifier: GPL-2.0-only
/* xfrm.c - see xfrm.h. */
#include <errno.h>
#include <stdbool.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include "kernel/netlink.h"
#include "kernel/xfrm.h"

static int read_policy(const struct nlmsghdr *message, void *data)
{
	const struct xfrm_userpolicy_info *policy =
		mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NETLINK_ATTRS] = {};

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*policy))
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(*policy), netlink_collect, attrs);
	if (policy->dir == XFRM_POLICY_FWD && attrs[XFRMA_TMPL])
		*(bool *)data = true;
	/* of packets that a card encrypts (kernel 6.2) the stack tells it, and
	 * until then they look like others */
	if (attrs[XFRMA_OFFLOAD_DEV])
		*(bool *)data = true;
	return MNL_CB_OK;
}

int xfrm_wants_forwarded(void)
{
	const struct xfrm_userpolicy_id all = {};
	bool wants = false;
	int err = -EINTR;

	for (int i = 0; i < NETLINK_TRIES && err == -EINTR; i++)
		err = netlink_all(NETLINK_XFRM, XFRM_MSG_GETPOLICY, &all,
				  sizeof(all), sizeof(all), read_policy,
				  &wants);
	if (err == -EPROTONOSUPPORT || err == -ENOENT)
		err = 0;
	return err ?: wants;
}
