// SPDX-License-Identifier: GPL-2.0-only
/* swap.c - links are updated, filters replaced: no packet meets a gap. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include "base/file.h"
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netdev.h"
#include "plane/beside.h"
#include "plane/chain.h"
#include "plane/clsact.h"
#include "plane/pinname.h"
#include "plane/pins.h"
#include "plane/podhook.h"
#include "plane/swap.h"
#include "plane/tcx.h"

/* Ids of the programs that may be hooked, by enum masq_prog_id; 0: none. */
struct ids {
	uint32_t old[MASQ_PROG_COUNT];
	uint32_t pinned[MASQ_PROG_COUNT]; /* in the new one's directory */
	uint32_t now[MASQ_PROG_COUNT];
};

static int id_of(int fd, uint32_t *id)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &length);

	*id = info.id;
	return err;
}

static int ids_pinned(const struct instance *instance, uint32_t *ids)
{
	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		int fd = pin_open(instance, prog_names[i]), err;

		ids[i] = 0;
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		err = id_of(fd, &ids[i]);
		close(fd);
		if (err)
			return err;
	}
	return 0;
}

/*
 * The program of ours that a filter has, and whether it has to be replaced; -1:
 * none. Programs that were put in by a process which was killed then are not
 * pinned: they are known by their names, where the kernel tells us.
 */
static int place_of(const struct ids *ids, const struct hook_prog *prog,
		    bool *stale)
{
	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		*stale = ids->now[i] != prog->id;
		if (prog->id &&
		    (ids->now[i] == prog->id || ids->old[i] == prog->id ||
		     ids->pinned[i] == prog->id ||
		     !strcmp(prog->name, prog_names[i])))
			return i;
	}
	return -1;
}

/* A link that we have pinned is ours, whatever program is in it. */
static int swap_link(const struct instance *instance,
		     const struct instance *next, const char *name, int prog)
{
	char path[PIN_PATH_MAX];
	struct bpf_link_info info = {};
	uint32_t length = sizeof(info), now;
	int fd, err;

	fd = bpf_obj_get(pin_path(instance, name, path));
	if (fd < 0)
		return fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &length)
		      ?: id_of(next->prog[prog], &now);
	/* without an interface: its device is gone, and it is pruned later */
	if (!err && info.xdp.ifindex && info.prog_id != now)
		err = bpf_link_update(fd, next->prog[prog], NULL);
	close(fd);
	return err == -ENOLINK ? 0 : err;
}

/* Pinned links whose names begin so; with Ethernet header and without. */
static int swap_links(const struct instance *instance,
		      const struct instance *next, const struct netdev *netdev,
		      const char *prefix, int eth, int l3)
{
	DIR *dir = opendir(instance->pin_dir);
	const struct dirent *entry;
	int err = dir ? 0 : -errno;

	while (dir && !err && (entry = file_next(dir, &err)))
		if (!strncmp(entry->d_name, prefix, strlen(prefix)) &&
		    pin_is_ours(entry->d_name)) {
			const struct netdev_link *link = netdev_by_index(
				netdev, atoi(entry->d_name + strlen(prefix)));

			err = swap_link(
				instance, next, entry->d_name,
				link && !netdev_is_ethernet(link) ? l3 : eth);
		}
	if (dir)
		closedir(dir);
	return err;
}

/* One that has filters of ours, or may have? Else whose there are is no
 * question. */
static bool has_filters(const struct instance *instance,
			const struct instance *next, uint32_t ifindex,
			enum hook_dir dir, bool pods)
{
	struct masq_iface iface;

	if (pods)
		return podhook_is_filter(instance, ifindex);
	return !bpf_map_lookup_elem(next->map[MAP_masq_ifaces], &ifindex,
				    &iface) ||
	       (dir == HOOK_INGRESS && beside_is_filter(instance, ifindex));
}

static int swap_filters(const struct instance *instance,
			const struct instance *next, const struct ids *ids,
			const struct netdev *netdev, enum hook_dir dir,
			bool pods)
{
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		uint32_t ifindex = netdev->links[i].ifindex;
		struct hook_chain chain = {};

		if (!has_filters(instance, next, ifindex, dir, pods))
			continue;
		err = clsact_chain(next, ifindex, dir, &chain);
		for (size_t n = 0; n < chain.count && !err; n++) {
			bool stale;
			int place = place_of(ids, &chain.progs[n], &stale);

			if (place >= 0 && stale)
				err = clsact_replace(ifindex, dir,
						     &chain.progs[n],
						     next->prog[place]);
			/* a pod has ended since */
			if (err == -ENODEV)
				err = 0;
		}
		free(chain.progs);
		clsact_note_again(instance, ifindex);
	}
	return err;
}

int swap_hooks(const struct instance *instance, const struct instance *next)
{
	static const int eth[HOOK_DIRS] = { PROG_masq_ingress,
					    PROG_masq_egress };
	static const int l3[HOOK_DIRS] = { PROG_masq_ingress_l3,
					   PROG_masq_egress_l3 };
	static const int pod[HOOK_DIRS] = { PROG_masq_pod_in,
					    PROG_masq_pod_out };
	struct netdev *netdev = NULL;
	struct ids ids = {};
	int err = ids_pinned(instance, ids.old) ?: ids_pinned(next, ids.pinned);

	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++)
		err = next->prog[i] < 0 ? 0 : id_of(next->prog[i], &ids.now[i]);
	err = err ?: netdev_read(&netdev);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "tcx_%s_", hook_dir_name(dir));
		err = swap_links(instance, next, netdev, prefix, eth[dir],
				 l3[dir])
			      ?: swap_filters(instance, next, &ids, netdev, dir,
					      false);
	}
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "tcx_pod_%s_",
			 hook_dir_name(dir));
		err = swap_links(instance, next, netdev, prefix, pod[dir],
				 pod[dir])
			      ?: swap_filters(instance, next, &ids, netdev, dir,
					      true);
	}
	err = err
		      ?: swap_links(instance, next, netdev,
				    TCX_OTHER_PREFIX "ingress_",
				    PROG_masq_beside, PROG_masq_beside_l3);
	netdev_free(netdev);
	if (err)
		log_error("%s: cannot switch the hooks: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}
