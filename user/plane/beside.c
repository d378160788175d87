// SPDX-License-Identifier: GPL-2.0-only
/* beside.c - see beside.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/beside.h"
#include "plane/clsact.h"
#include "plane/pins.h"
#include "plane/podhook.h"
#include "plane/tcx.h"

static const char *link_pin(uint32_t ifindex, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, TCX_OTHER_PREFIX "ingress_%u", ifindex);
	return buf;
}

static const char *filter_note(uint32_t ifindex, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, "masq_beside_%u", ifindex);
	return buf;
}

int beside_note(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];

	return pin_note(instance, filter_note(ifindex, name));
}

bool beside_is_filter(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];

	return pin_is_noted(instance, filter_note(ifindex, name));
}

bool beside_is_there(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];

	return pin_is_noted(instance, link_pin(ifindex, name)) ||
	       beside_is_filter(instance, ifindex);
}

static int remove_link(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];
	int err = tcx_unpin(instance, link_pin(ifindex, name));

	return err == -ENOENT ? 0 : err;
}

static int remove_filter(const struct instance *instance, uint32_t ifindex)
{
	const struct hook_prog *old;
	struct hook_chain chain = {};
	char name[TCX_PIN_MAX];
	int err;

	if (!beside_is_filter(instance, ifindex))
		return 0;
	err = clsact_chain(instance, ifindex, HOOK_INGRESS, &chain);
	old = err ? NULL : clsact_beside(instance, &chain);
	if (old)
		err = clsact_detach_beside(ifindex, old);
	free(chain.progs);
	if (err)
		return err;
	clsact_drop(instance, ifindex);
	return pin_forget(instance, filter_note(ifindex, name));
}

static int add_link(const struct instance *instance, uint32_t ifindex, int prog)
{
	char name[TCX_PIN_MAX];
	bool has;
	int err = tcx_has(instance, link_pin(ifindex, name), ifindex, &has);

	if (!err && !has)
		err = tcx_pin(instance, ifindex, HOOK_INGRESS, prog, true,
			      name);
	return err;
}

static int add_filter(const struct instance *instance, uint32_t ifindex,
		      int prog)
{
	struct hook_chain chain = {};
	char name[TCX_PIN_MAX];
	bool has;
	int err = clsact_chain(instance, ifindex, HOOK_INGRESS, &chain);

	has = !err && clsact_beside(instance, &chain);
	free(chain.progs);
	if (err || has)
		return err;
	/* first: what is not noted would never be removed */
	err = beside_note(instance, ifindex)
		      ?: clsact_attach_beside(instance, ifindex, prog);
	if (err) {
		pin_forget(instance, filter_note(ifindex, name));
		clsact_drop(instance, ifindex);
	}
	return err;
}

int beside_attach(void *data, const struct netdev_link *link)
{
	const struct instance *instance = data;
	int prog =
		instance->prog[netdev_is_ethernet(link) ? PROG_masq_beside
							: PROG_masq_beside_l3];
	bool filter = !tcx_exists(link->ifindex) || podhook_by_filter(instance);
	int err;

	/* one without Ethernet header that has come since the last attach, and a
	 * detach meets it: the next attach loads the program */
	if (prog < 0)
		return -EOPNOTSUPP;
	err = filter ? add_filter(instance, link->ifindex, prog)
		     : add_link(instance, link->ifindex, prog);
	/* the one of the other kind; both, for a moment, do no harm */
	if (!err)
		err = filter ? remove_link(instance, link->ifindex)
			     : remove_filter(instance, link->ifindex);
	if (err && err != -ENODEV && err != -EOPNOTSUPP)
		log_error("%s: watch: %s: %s", link->name,
			  hook_kind_name(filter ? HOOK_TC : HOOK_TCX),
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

int beside_detach(void *data, const struct netdev_link *link)
{
	const struct instance *instance = data;
	int err = remove_link(instance, link->ifindex)
			  ?: remove_filter(instance, link->ifindex);

	if (err)
		log_error("%s: watch: cannot be removed: %s", link->name,
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

int beside_detach_all(struct instance *instance, const struct netdev *netdev)
{
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && !err; i++)
		if (beside_is_there(instance, netdev->links[i].ifindex))
			err = beside_detach(instance, &netdev->links[i]);
	return err;
}
