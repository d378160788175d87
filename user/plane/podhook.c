// SPDX-License-Identifier: GPL-2.0-only
/* podhook.c - see podhook.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/clsact.h"
#include "plane/node.h"
#include "plane/pinname.h"
#include "plane/pins.h"
#include "plane/podhook.h"
#include "plane/tcx.h"

#define FILTER_PREFIX "masq_veth_"

static const enum masq_prog_id programs[HOOK_DIRS] = {
	[HOOK_INGRESS] = PROG_masq_pod_in,
	[HOOK_EGRESS] = PROG_masq_pod_out,
};

static const char *link_pin(uint32_t ifindex, enum hook_dir dir, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, TCX_POD_PREFIX "%s_%u", hook_dir_name(dir),
		 ifindex);
	return buf;
}

static const char *filter_note(uint32_t ifindex, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, FILTER_PREFIX "%u", ifindex);
	return buf;
}

bool podhook_is_filter(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];

	return pin_is_noted(instance, filter_note(ifindex, name));
}

bool podhook_by_filter(const struct instance *instance)
{
	uint32_t *uplinks;
	size_t count;
	bool links = false;

	if (node_uplinks(instance, &uplinks, &count))
		return false;
	for (size_t i = 0; i < count && !links; i++) {
		char name[TCX_PIN_MAX];

		tcx_pin_name(uplinks[i], HOOK_INGRESS, name);
		links = pin_is_noted(instance, name);
	}
	free(uplinks);
	return count && !links;
}

bool podhook_is_whole(const struct instance *instance, uint32_t ifindex,
		      const struct hook_chain *chain, enum hook_dir dir,
		      bool filter)
{
	size_t count = 0, right = 0;

	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		/* a watch may be there as well */
		if (!p->ours || strcmp(p->name, prog_names[programs[dir]]))
			continue;
		count++;
		right += p->kind == (filter ? HOOK_TC : HOOK_TCX);
	}
	return count == 1 && right == 1 &&
	       filter == podhook_is_filter(instance, ifindex);
}

int podhook_lacks(const struct netdev_link *link, char *why, size_t len)
{
	struct clsact_qdisc qdisc;
	int err = clsact_qdisc(link->ifindex, &qdisc);

	if (err) {
		log_error("%s: cannot read the qdiscs: %s", link->name,
			  strerror(-err));
		return err;
	}
	if (qdisc.ingress)
		snprintf(why, len,
			 "an ingress qdisc is in the place of clsact");
	else if (qdisc.shared)
		snprintf(why, len, "its clsact shares a block of filters");
	return 0;
}

/* --- links --------------------------------------------------------------- */

static int add_links(const struct instance *instance, uint32_t ifindex)
{
	int err = 0;

	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		char name[TCX_PIN_MAX];
		bool has;

		err = tcx_has(instance, link_pin(ifindex, dir, name), ifindex,
			      &has);
		if (!err && !has)
			err = tcx_pin(instance, ifindex, dir,
				      instance->prog[programs[dir]], false,
				      name);
	}
	return err;
}

static int remove_links(const struct instance *instance, uint32_t ifindex)
{
	int err = 0;

	for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++) {
		char name[TCX_PIN_MAX];
		int gone = tcx_unpin(instance, link_pin(ifindex, dir, name));

		err = err ?: gone == -ENOENT ? 0 : gone;
	}
	return err;
}

/* --- filters ------------------------------------------------------------- */

static int has_filter(const struct instance *instance, uint32_t ifindex,
		      enum hook_dir dir, bool *has)
{
	struct hook_chain chain = {};
	int err = clsact_chain(instance, ifindex, dir, &chain);

	*has = !err && clsact_pod(instance, &chain);
	free(chain.progs);
	return err;
}

static int remove_filters(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];
	int err = 0;

	if (!podhook_is_filter(instance, ifindex))
		return 0;
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		bool has;

		err = has_filter(instance, ifindex, dir, &has);
		if (!err && has)
			err = clsact_detach_pod(ifindex, dir);
	}
	if (err)
		return err;
	clsact_drop(instance, ifindex);
	return pin_forget(instance, filter_note(ifindex, name));
}

static int add_filters(const struct instance *instance, uint32_t ifindex)
{
	struct clsact_qdisc qdisc;
	int err = clsact_qdisc(ifindex, &qdisc);

	if (!err && (qdisc.ingress || qdisc.shared))
		err = -EEXIST;
	/* first: what is not noted would never be removed */
	if (!err && !podhook_is_filter(instance, ifindex))
		err = podhook_note(instance, ifindex);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		bool has;

		err = has_filter(instance, ifindex, dir, &has);
		if (!err && !has)
			err = clsact_attach_pod(instance, ifindex, dir,
						instance->prog[programs[dir]]);
	}
	if (err)
		remove_filters(instance, ifindex);
	return err;
}

/* --- both ---------------------------------------------------------------- */

int podhook_attach(const struct instance *instance,
		   const struct netdev_link *link)
{
	bool filter = podhook_by_filter(instance);
	/* both, for a moment, do no harm: no packet has consent then */
	int err = filter ? add_filters(instance, link->ifindex)
				   ?: remove_links(instance, link->ifindex)
			 : add_links(instance, link->ifindex)
				   ?: remove_filters(instance, link->ifindex);

	if (err && err != -ENODEV)
		log_error("%s: fast path: %s: %s", link->name,
			  hook_kind_name(filter ? HOOK_TC : HOOK_TCX),
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

int podhook_detach(const struct instance *instance,
		   const struct netdev_link *link)
{
	int err = remove_links(instance, link->ifindex)
			  ?: remove_filters(instance, link->ifindex);

	if (err)
		log_error("%s: fast path: cannot be taken off: %s", link->name,
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

int podhook_note(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];

	return pin_note(instance, filter_note(ifindex, name));
}

int podhook_detach_all(const struct instance *instance)
{
	DIR *dir = opendir(instance->pin_dir);
	struct dirent *entry;
	int err = dir ? 0 : -errno;

	while (dir && !err && (entry = file_next(dir, &err))) {
		const char *name = entry->d_name;

		if (!pin_is_ours(name))
			continue;
		if (!strncmp(name, TCX_POD_PREFIX, strlen(TCX_POD_PREFIX)))
			err = tcx_unpin(instance, name);
		else if (!strncmp(name, FILTER_PREFIX, strlen(FILTER_PREFIX)))
			err = remove_filters(
				instance, strtoul(name + strlen(FILTER_PREFIX),
						  NULL, 10));
	}
	if (dir)
		closedir(dir);
	if (err)
		log_error("%s: cannot take the fast path off pods' interfaces: "
			  "%s",
			  instance->pin_dir,
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}
