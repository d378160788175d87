// SPDX-License-Identifier: GPL-2.0-only
/* hook.c - attaching to links by TCX or clsact. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <sys/file.h>
#include "base/file.h"
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/beside.h"
#include "plane/clsact.h"
#include "plane/hook.h"
#include "plane/pinname.h"
#include "plane/pins.h"
#include "plane/podhook.h"
#include "plane/tcx.h"

#define TURN_MS	     2000
#define TURN_POLL_MS 10

/* --- what is there ----------------------------------------------------- */

static int say_unread(const struct netdev_link *link, enum hook_dir dir,
		      int err)
{
	log_error("%s: cannot read the %s hooks: %s", link->name,
		  hook_dir_name(dir),
		  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

int hook_look(const struct instance *instance, const struct netdev_link *link,
	      enum hook_dir dir, struct hook_chain *chain)
{
	int err;

	*chain = (struct hook_chain){};
	/* the kernel runs TCX before clsact, both ways */
	err = tcx_chain(instance, link->ifindex, dir, chain);
	if (!err)
		err = clsact_chain(instance, link->ifindex, dir, chain);
	if (err) {
		if (err != -ENODEV)
			say_unread(link, dir, err);
		free(chain->progs);
		chain->progs = NULL;
	}
	return err;
}

int hook_chain(const struct instance *instance, const struct netdev_link *link,
	       enum hook_dir dir, struct hook_chain *chain)
{
	int err = hook_look(instance, link, dir, chain);

	return err == -ENODEV ? say_unread(link, dir, err) : err;
}

/* --- both -------------------------------------------------------------- */

static int attach_one(const struct instance *instance,
		      const struct netdev_link *link, enum hook_kind kind,
		      enum hook_dir dir)
{
	int err;

	if (chain_prog_for(instance, link, dir) < 0) {
		/* it has come a moment ago: instance_plan saw none */
		log_error("%s: attach: the programs for interfaces without "
			  "Ethernet header are not loaded yet: again",
			  link->name);
		return -EAGAIN;
	}
	err = kind == HOOK_TCX ? tcx_attach(instance, link, dir)
			       : clsact_attach(instance, link, dir);
	if (err)
		log_error("%s: attach: %s %s: %s%s", link->name,
			  hook_kind_name(kind), hook_dir_name(dir),
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN),
			  err == -EINVAL && kind == HOOK_TC
				  ? " (an ingress qdisc where clsact is "
				    "needed?)"
				  : "");
	return err;
}

static int detach_one(const struct instance *instance,
		      const struct netdev_link *link, enum hook_kind kind,
		      enum hook_dir dir)
{
	char name[TCX_PIN_MAX];
	int err;

	tcx_pin_name(link->ifindex, dir, name);
	err = kind == HOOK_TCX ? tcx_unpin(instance, name)
			       : clsact_detach(link, dir);

	if (err)
		log_error("%s: detach: %s %s: %s", link->name,
			  hook_kind_name(kind), hook_dir_name(dir),
			  caps_strerror(err, CAPS_NET_ADMIN));
	return err;
}

/* As hook_look. */
static int find(const struct instance *instance, const struct netdev_link *link,
		struct hook_set *set)
{
	*set = (struct hook_set){};
	for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++) {
		struct hook_chain chain;
		char name[TCX_PIN_MAX];
		int err = hook_look(instance, link, dir, &chain);

		if (err)
			return err;
		tcx_pin_name(link->ifindex, dir, name);
		set->has[HOOK_TC][dir] = clsact_is_there(&chain, dir);
		free(chain.progs);
		err = tcx_has(instance, name, link->ifindex,
			      &set->has[HOOK_TCX][dir]);
		if (err)
			return say_unread(link, dir, err);
	}
	return 0;
}

int hook_find(const struct instance *instance, const struct netdev_link *link,
	      struct hook_set *set)
{
	int err = find(instance, link, set);

	return err == -ENODEV ? say_unread(link, HOOK_INGRESS, err) : err;
}

enum hook_kind hook_set_kind(const struct hook_set *set)
{
	for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
		if (set->has[kind][HOOK_INGRESS] && set->has[kind][HOOK_EGRESS])
			return kind;
	for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
		if (set->has[kind][HOOK_INGRESS] || set->has[kind][HOOK_EGRESS])
			return kind;
	return HOOK_AUTO;
}

/* Nothing there that forbids ours? */
static int check_chain(const struct netdev_link *link, enum hook_dir dir,
		       enum hook_kind kind, const struct hook_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		if (p->ours)
			continue;
		if (p->masqbpf && p->kind == HOOK_TCX) {
			log_error("%s: attach: belongs to another instance of "
				  "masqbpf (program %u on %s): see --pin-dir",
				  link->name, p->id, hook_dir_name(dir));
			return -EBUSY;
		}
		if (p->masqbpf) {
			log_error("%s: attach: belongs to another instance of "
				  "masqbpf: see --pin-dir, or, when its pins "
				  "are gone: tc filter del dev %s %s prio %u "
				  "handle %#x bpf",
				  link->name, link->name, hook_dir_name(dir),
				  p->priority, p->handle);
			return -EBUSY;
		}
		if (kind == HOOK_TC && p->kind == HOOK_TC &&
		    p->priority == clsact_priority(dir)) {
			log_error("%s: attach: tc %s priority %u is taken by "
				  "a filter that is not ours (%s %s)",
				  link->name, hook_dir_name(dir), p->priority,
				  p->type, p->name);
			return -EEXIST;
		}
	}
	return 0;
}

int hook_check(const struct instance *instance, const struct netdev_link *link,
	       enum hook_kind *kind)
{
	struct hook_set set;
	bool ingress;
	int err = hook_find(instance, link, &set);

	if (err)
		return err;
	if (*kind == HOOK_AUTO)
		*kind = hook_set_kind(&set);
	if (*kind == HOOK_AUTO)
		*kind = tcx_exists(link->ifindex) ? HOOK_TCX : HOOK_TC;
	err = clsact_is_ingress(link->ifindex, &ingress);
	if (err) {
		log_error("%s: attach: cannot read the qdiscs: %s", link->name,
			  strerror(-err));
		return err;
	}
	if (*kind == HOOK_TC && ingress) {
		log_error("%s: attach: an ingress qdisc is in the place of "
			  "clsact; when nobody needs it: tc qdisc del dev %s "
			  "ingress",
			  link->name, link->name);
		return -EEXIST;
	}
	if (*kind == HOOK_TCX && !tcx_exists(link->ifindex)) {
		log_error("%s: attach: this kernel has no TCX (it came with "
			  "6.6): --hook tc",
			  link->name);
		return -EOPNOTSUPP;
	}
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		struct hook_chain chain;

		err = hook_chain(instance, link, dir, &chain);
		if (err)
			break;
		err = check_chain(link, dir, *kind, &chain);
		free(chain.progs);
	}
	return err;
}

int hook_turn(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	for (int waited = 0;
	     fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && waited < TURN_MS;
	     waited += TURN_POLL_MS)
		usleep(TURN_POLL_MS * 1000);
	return fd;
}

/*
 * Others have come behind our egress or before our ingress since. A link does
 * not move: it is made anew, and a filter stands in for it meanwhile, so that
 * no packet gets by. Where that cannot be, the order stays and is told.
 */
static int tcx_restore_place(const struct instance *instance,
			     const struct netdev_link *link, enum hook_dir dir)
{
	bool in_place = true, ingress = false;
	int err = tcx_in_place(instance, link->ifindex, dir, &in_place);

	if (err)
		return say_unread(link, dir, err);
	if (in_place)
		return 0;
	err = clsact_is_ingress(link->ifindex, &ingress);
	if (!err)
		err = ingress ? -EEXIST : clsact_attach(instance, link, dir);
	if (err) {
		log_warn("%s: attach: cannot be the %s program of %s again: no "
			 "filter can stand in meanwhile: %s",
			 link->name, dir == HOOK_INGRESS ? "first" : "last",
			 hook_dir_name(dir), strerror(-err));
		return 0;
	}
	err = tcx_let_go(instance, link->ifindex, dir);
	if (err)
		log_error("%s: attach: cannot move the tcx link of %s: %s",
			  link->name, hook_dir_name(dir), strerror(-err));
	else
		err = attach_one(instance, link, HOOK_TCX, dir);
	if (err) /* the filter stays in the link's place */
		return err;
	err = detach_one(instance, link, HOOK_TC, dir);
	clsact_drop(instance, link->ifindex);
	return err;
}

int hook_attach(const struct instance *instance, const struct netdev_link *link,
		enum hook_kind kind, struct hook_set *added,
		int (*between)(void *data), void *data)
{
	struct hook_set other, set;
	int err;

	*added = (struct hook_set){};
	err = hook_find(instance, link, &set);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		if (dir == HOOK_EGRESS && between)
			err = between(data);
		if (err || set.has[kind][dir])
			continue;
		err = attach_one(instance, link, kind, dir);
		added->has[kind][dir] = !err;
	}
	if (err)
		return err;
	/*
	 * Both kinds for less than a millisecond: the seal (bpf/common.h)
	 * keeps the second from what the first has translated. The other
	 * order would let packets out with a pod's address.
	 */
	other = set;
	memset(other.has[kind], 0, sizeof(other.has[kind]));
	err = hook_detach(instance, link, &other)
		      ?: beside_detach((void *)instance, link)
		      ?: podhook_detach(instance, link);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++)
		if (kind == HOOK_TCX)
			err = tcx_restore_place(instance, link, dir);
	return err;
}

int hook_detach(const struct instance *instance, const struct netdev_link *link,
		const struct hook_set *set)
{
	int err = 0;

	for (int dir = HOOK_DIRS - 1; dir >= 0; dir--)
		for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
			if (set->has[kind][dir])
				err = detach_one(instance, link, kind, dir)
					      ?: err;
	if (!err)
		clsact_drop(instance, link->ifindex);
	return err;
}

/* Unpins the links of this name; only those without device, or all. */
static int unpin_links(const struct instance *instance, const char *prefix,
		       bool all)
{
	DIR *dir = opendir(instance->pin_dir);
	struct dirent *entry;
	int err = dir ? 0 : -errno;

	while (dir && !err && (entry = file_next(dir, &err))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) ||
		    !pin_is_ours(entry->d_name))
			continue;
		if (all || !tcx_pinned(instance, entry->d_name))
			err = tcx_unpin(instance, entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (err)
		log_error("%s: cannot remove pinned links: %s",
			  instance->pin_dir, strerror(-err));
	return err;
}

/*
 * The notes of filters and qdiscs that are gone: where there is no clsact there
 * are no filters of ours.
 */
static int prune_notes(const struct instance *instance)
{
	static const char *const notes[] = { "masq_clsact_", "masq_veth_",
					     "masq_beside_" };
	DIR *dir = opendir(instance->pin_dir);
	uint32_t *ifindexes = NULL;
	struct dirent *entry;
	size_t count = 0;
	int err = dir ? 0 : -errno;
	bool read = false;

	while (dir && !err && (entry = file_next(dir, &err))) {
		const char *number = NULL;
		bool there = false;

		for (size_t i = 0; i < sizeof(notes) / sizeof(*notes); i++)
			if (!strncmp(entry->d_name, notes[i], strlen(notes[i])))
				number = entry->d_name + strlen(notes[i]);
		/* masq_beside_l3 is a program */
		if (!number || !isdigit((unsigned char)*number) ||
		    !pin_is_ours(entry->d_name))
			continue;
		if (!read)
			err = clsact_links(&ifindexes, &count);
		read = true;
		for (size_t i = 0; i < count; i++)
			there |= ifindexes[i] == strtoul(number, NULL, 10);
		if (!err && !there)
			err = pin_forget(instance, entry->d_name);
	}
	if (dir)
		closedir(dir);
	free(ifindexes);
	if (err)
		log_error("%s: cannot remove notes of filters: %s",
			  instance->pin_dir, strerror(-err));
	return err;
}

int hook_prune(const struct instance *instance)
{
	return unpin_links(instance, "tcx_", false) ?: prune_notes(instance);
}

static bool is_gone(const struct netdev_link *link)
{
	char name[IF_NAMESIZE];

	return !if_indextoname(link->ifindex, name) && errno == ENXIO;
}

int hook_detach_all(struct instance *instance, const struct netdev *netdev)
{
	struct hook_set *sets = calloc(netdev->link_count + 1, sizeof(*sets));
	int err = sets ? 0 : -ENOMEM;

	/* who may not look at the hooks of a link may not change them either */
	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];

		err = find(instance, link, &sets[i]);
		if (err == -ENODEV && is_gone(link))
			err = 0; /* a pod's that has ended since */
		else if (err == -ENODEV)
			say_unread(link, HOOK_INGRESS, err);
	}
	for (size_t i = 0; i < netdev->link_count && !err; i++)
		err = hook_detach(instance, &netdev->links[i], &sets[i]);
	if (!err)
		err = podhook_detach_all(instance)
			      ?: beside_detach_all(instance, netdev)
			      ?: unpin_links(instance, TCX_OTHER_PREFIX, true);
	/* of links that are gone, or in another network namespace */
	for (int dir = HOOK_DIRS - 1; dir >= 0 && !err; dir--) {
		char prefix[TCX_PIN_MAX];

		snprintf(prefix, sizeof(prefix), "tcx_%s_", hook_dir_name(dir));
		err = unpin_links(instance, prefix, true);
	}
	free(sets);
	return err;
}
