// SPDX-License-Identifier: GPL-2.0-only
/* succeed.c - the steps of a take-over; each may be done again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netns.h"
#include "plane/adopt.h"
#include "plane/before.h"
#include "plane/clock.h"
#include "plane/ctl.h"
#include "plane/load.h"
#include "plane/make.h"
#include "plane/node.h"
#include "plane/pins.h"
#include "plane/probe.h"
#include "plane/succeed.h"
#include "plane/swap.h"

/* Maps that a new instance never shares: flows, and what is counted of them. */
static bool is_own(enum masq_map_id id)
{
	switch (id) {
	case MAP_masq_meta:
	case MAP_masq_flows4:
	case MAP_masq_flows6:
	case MAP_masq_aside4:
	case MAP_masq_aside6:
	case MAP_masq_locks:
	case MAP_masq_usage:
	case MAP_masq_pods:
		return true;
	default:
		return false;
	}
}

/* The directory of the new one beside the old; -ENOENT: there is none. */
static int open_next(const struct instance *instance, bool make,
		     struct instance *next)
{
	*next = (struct instance){ .lock_fd = -1, .cpus = instance->cpus };
	maps_none(next);
	if (snprintf(next->pin_dir, sizeof(next->pin_dir), "%s/" INSTANCE_NEXT,
		     instance->pin_dir) >= (int)sizeof(next->pin_dir))
		return -ENAMETOOLONG;
	if (make && mkdirat(instance->lock_fd, INSTANCE_NEXT, 0700) &&
	    errno != EEXIST)
		return -errno;
	next->lock_fd = openat(instance->lock_fd, INSTANCE_NEXT,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next->lock_fd >= 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	return pin_is_there(instance, INSTANCE_NEXT) ? -EIO : -ENOENT;
}

static void close_next(struct instance *next)
{
	maps_close(next);
	if (next->lock_fd >= 0)
		close(next->lock_fd);
}

int succeed_forget(const struct instance *instance)
{
	struct instance next;
	int err = open_next(instance, false, &next);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = pins_remove(&next);
	if (!err && unlinkat(instance->lock_fd, INSTANCE_NEXT, AT_REMOVEDIR))
		err = -errno;
	close_next(&next);
	return err;
}

int succeed_needed(const struct instance *instance)
{
	struct instance next;
	uint32_t layout;
	int err = open_next(instance, false, &next), found = 0;

	if (err && err != -ENOENT) {
		log_error("%s: cannot look at %s: %s", instance->pin_dir,
			  INSTANCE_NEXT, strerror(-err));
		return err;
	}
	if (!err)
		found = pin_is_there(&next, map_names[MAP_masq_meta]);
	close_next(&next);
	if (found)
		return found < 0 ? found : 2;
	err = before_layout(instance, &layout);
	return err ? (err == -ENOENT ? 0 : err)
		   : layout != MASQ_ABI && before_known(layout);
}

/* --- making it ---------------------------------------------------------- */

/* What the new one is to be, by what was asked for and by what the old one is. */
static int plan_meta(const struct before *old,
		     const struct instance_options *options,
		     struct instance *next, bool ipv6)
{
	struct instance_options want = options ? *options
					       : (struct instance_options){};
	int err;

	if (!want.max_flows)
		want.max_flows = old->meta.max_flows;
	if (!options || !options->configured) {
		want.no_flow_counts = old->meta.features &
				      MASQ_FEAT_NO_FLOW_COUNT;
		want.ipv6 = ipv6;
	}
	want.ipv6 |= ipv6;
	want.fast_path |= !!(old->meta.features & MASQ_FEAT_FAST);
	err = instance_plan(next, &want);
	if (err)
		return err;
	if (old->layout == MASQ_ABI) {
		next->meta.features |= old->meta.features &
				       (PROBED | MASQ_FEAT_L3);
		next->meta.programs = dataplane_programs(next->meta.features);
	}
	/* slots are what counters and tries are numbered by: none goes */
	if (next->meta.max_prefixes < old->meta.max_prefixes)
		next->meta.max_prefixes = old->meta.max_prefixes;
	next->meta.netns = old->meta.netns;
	next->meta.hz = old->meta.hz;
	next->meta.dirty = old->meta.dirty;
	next->meta.flipped_ns = old->meta.flipped_ns;
	memcpy(next->meta.source, old->meta.source, sizeof(next->meta.source));
	if (old->meta.seal)
		next->meta.seal = old->meta.seal;
	return 0;
}

/* Is the old map what the new object wants? Then both use the one. */
static int share(struct before *old, const struct instance *next, int fds[])
{
	struct dataplane d;
	int err = dataplane_open(&d, &next->meta, NULL);

	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		const struct bpf_map *want = d.map[i];
		struct bpf_map_info info = {};
		uint32_t length = sizeof(info);

		old->map[i] = -1;
		if (fds[i] < 0 || is_own(i))
			continue;
		err = bpf_obj_get_info_by_fd(fds[i], &info, &length);
		if (!err && info.type == bpf_map__type(want) &&
		    info.key_size == bpf_map__key_size(want) &&
		    info.value_size == bpf_map__value_size(want) &&
		    info.max_entries == bpf_map__max_entries(want) &&
		    info.map_flags == bpf_map__map_flags(want))
			old->map[i] = fds[i];
	}
	dataplane_close(&d);
	return err;
}

/* More slots for prefixes: each stays where it is. */
static int copy_prefixes(int from, uint32_t count, int into)
{
	for (uint32_t i = 0; i < count; i++) {
		struct masq_prefix prefix;
		int err = bpf_map_lookup_elem(from, &i, &prefix);

		err = err ?: bpf_map_update_elem(into, &i, &prefix, BPF_ANY);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Uplinks that translate already have had what flowed there before; a later
 * attach must not take over once more what conntrack says.
 */
static int note_seeded(const struct instance *next)
{
	const struct masq_seeded done = { .done = 1 };
	int ifaces = next->map[MAP_masq_ifaces];
	int seeded = next->map[MAP_masq_seeded];
	uint32_t key = 0, *last = NULL;
	int err = bpf_map_update_elem(seeded, &key, &done, BPF_ANY);

	while (!err && !bpf_map_get_next_key(ifaces, last, &key)) {
		err = bpf_map_update_elem(seeded, &key, &done, BPF_ANY);
		last = &key;
	}
	return err;
}

/*
 * Addresses of the node, where the old map has not room for them or is none: no
 * packet may meet a set that is empty.
 */
static int know_node(const struct before *old, struct instance *next)
{
	struct netdev *netdev = NULL;
	int err = 0;

	if (old->map[MAP_masq_local] >= 0 && old->map[MAP_masq_nets] >= 0)
		return 0;
	err = netdev_read(&netdev) ?: node_sync(next, netdev);
	netdev_free(netdev);
	return err;
}

/* Loads and pins it; masq_meta last: from there on it can be gone on with. */
static int make(struct before *old, const int fds[], struct instance *next)
{
	uint32_t zero = 0;
	int err = pins_remove(next);

	err = err ?: share(old, next, (int *)fds);
	if (err) {
		log_error("%s: cannot be made: %s", next->pin_dir,
			  strerror(-err));
		return err;
	}
	err = dataplane_load(next, old) ?: clock_read(next) ?:
	      know_node(old, next);
	if (err)
		return err;
	if (old->map[MAP_masq_prefixes] < 0)
		err = copy_prefixes(fds[MAP_masq_prefixes],
				    old->meta.max_prefixes,
				    next->map[MAP_masq_prefixes]);
	if (!err && old->map[MAP_masq_seeded] < 0)
		err = note_seeded(next);
	err = err
		      ?: bpf_map_update_elem(next->map[MAP_masq_meta], &zero,
					     &next->meta, BPF_ANY);
	if (err) {
		log_error("%s: cannot fill the maps: %s", next->pin_dir,
			  caps_strerror(err, CAPS_BPF));
		return err;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (i != MAP_masq_meta)
			err = pin_make(next, next->map[i], map_names[i]);
	err = err ?: pins_programs(next);
	return err
		       ?: pin_make(next, next->map[MAP_masq_meta],
				   map_names[MAP_masq_meta]);
}

/* One that a killed process has made and begun to put in. */
static int reopen(const struct instance *instance, struct instance *next,
		  bool *moved)
{
	int err = 0, fd;
	uint32_t zero = 0;

	*moved = false;

	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		fd = pin_open(next, map_names[i]);
		if (fd == -ENOENT) { /* in its place already */
			*moved = true;
			fd = pin_open(instance, map_names[i]);
		}
		next->map[i] = fd;
		err = fd < 0 ? fd : 0;
	}
	err = err
		      ?: bpf_map_lookup_elem(next->map[MAP_masq_meta], &zero,
					     &next->meta);
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++) {
		if (prog_is_left_out(&next->meta, i))
			continue;
		fd = pin_open(next, prog_names[i]);
		if (fd == -ENOENT) {
			*moved = true;
			fd = pin_open(instance, prog_names[i]);
		}
		next->prog[i] = fd;
		err = fd < 0 ? fd : 0;
	}
	if (!err &&
	    (next->meta.magic != MASQ_MAGIC || next->meta.abi != MASQ_ABI)) {
		log_error("%s: made by another version of masqbpf, which has "
			  "to finish it",
			  next->pin_dir);
		err = -EPROTO;
	}
	return err ?: clock_read(next);
}

/* --- putting it in ------------------------------------------------------ */

/* What packets have been counted in the old maps where there are new ones. */
static int copy_counts(const struct before *old, const int fds[],
		       struct instance *next)
{
	int cpus = next->cpus, err = 0;
	uint32_t carried, zero = 0;
	struct masq_meta meta;
	struct masq_prefix_count *counts = calloc(cpus, sizeof(*counts));
	uint64_t *stats = calloc(cpus, sizeof(*stats));

	if (!counts || !stats)
		err = -ENOMEM;
	/* by one who was killed then: no count is added twice */
	err = err
		      ?: bpf_map_lookup_elem(next->map[MAP_masq_meta], &zero,
					     &meta);
	carried = err ? 0 : meta.carried;
	for (uint32_t i = 0; !err && old->map[MAP_masq_counters] < 0 &&
			     i < old->meta.max_prefixes;
	     i++) {
		struct masq_ctl ctl = { .op = MASQ_CTL_COUNT,
					.prefix = i,
					.count = i + 1 };

		err = bpf_map_lookup_elem(fds[MAP_masq_counters], &i, counts);
		for (int c = 0; c < cpus && !err; c++) {
			ctl.counts.egress.packets += counts[c].egress.packets;
			ctl.counts.egress.bytes += counts[c].egress.bytes;
			ctl.counts.ingress.packets += counts[c].ingress.packets;
			ctl.counts.ingress.bytes += counts[c].ingress.bytes;
			ctl.counts.flows += counts[c].flows;
		}
		if (!err && ctl.count > carried &&
		    (ctl.counts.egress.packets || ctl.counts.ingress.packets ||
		     ctl.counts.flows))
			err = instance_ctl(next, &ctl);
	}
	for (uint32_t i = 0; !err && old->map[MAP_masq_stats] < 0 &&
			     i < before_stats(old->layout);
	     i++) {
		struct masq_ctl ctl = { .op = MASQ_CTL_STAT,
					.prefix = before_stat(old->layout, i),
					.count = old->meta.max_prefixes + i +
						 1 };

		err = bpf_map_lookup_elem(fds[MAP_masq_stats], &i, stats);
		for (int c = 0; c < cpus && !err; c++)
			ctl.counts.flows += stats[c];
		if (!err && ctl.count > carried && ctl.counts.flows)
			err = instance_ctl(next, &ctl);
	}
	free(counts);
	free(stats);
	return err;
}

/* The new pins take the old ones' names. */
static int move_pins(const struct instance *instance, struct instance *next,
		     uint32_t layout)
{
	int err = before_unpin(instance, layout) ?: pins_move(next, instance);

	if (!err && unlinkat(instance->lock_fd, INSTANCE_NEXT, AT_REMOVEDIR) &&
	    errno != ENOENT)
		err = -errno;
	return err;
}

/* From the first switched hook to the last pin. */
static int put_in(const struct instance *instance, struct before *old,
		  const int fds[], struct instance *next)
{
	struct before plain = { .flows = { -1, -1 },
				.aside = { -1, -1 },
				.prog = -1 };
	struct before_sum sum = {};
	int err = swap_hooks(instance, next);

	err = err ?: before_walk(old, next, &sum);
	if (err)
		return err;
	/* the same maps, and programs that know of no others */
	memcpy(plain.map, next->map, sizeof(plain.map));
	plain.prog = next->prog[PROG_masq_egress];
	err = dataplane_load(next, &plain);
	err = err ?: swap_hooks(instance, next) ?: pins_programs(next);
	if (err)
		return err;
	err = copy_counts(old, fds, next);
	if (err) {
		log_error("%s: cannot carry over the counters: %s",
			  next->pin_dir, strerror(-err));
		return err;
	}
	if (old->layout == MASQ_ABI)
		log_info("%s: has room for %u flows and %u prefixes now; %lu "
			 "flows moved",
			 instance->pin_dir, next->meta.max_flows,
			 next->meta.max_prefixes, sum.taken);
	else
		log_info("%s: taken over from version %.*s (layout %u): %lu "
			 "flows",
			 instance->pin_dir, (int)sizeof(old->meta.version) - 1,
			 old->meta.version, old->layout, sum.taken);
	if (sum.lost)
		log_warn("%s: %lu flows found no room in the new table",
			 instance->pin_dir, sum.lost);
	return 0;
}

/* What the kernel refuses once it may grant the next time. */
static int finish(const struct instance *instance, struct before *old,
		  const int fds[], struct instance *next, bool moved)
{
	int err = moved ? 0 : put_in(instance, old, fds, next);

	if (err) {
		log_warn("%s: once more, as the old one is partly replaced",
			 instance->pin_dir);
		err = put_in(instance, old, fds, next);
	}
	if (!err && move_pins(instance, next, old->layout))
		err = move_pins(instance, next, old->layout);
	if (err)
		log_error("%s: the take-over is not done to the end: `masqbpf "
			  "attach IFACE` goes on with it",
			  instance->pin_dir);
	return err;
}

int succeed(const struct instance *instance,
	    const struct instance_options *options)
{
	int fds[MASQ_MAP_COUNT], err, begun;
	struct instance next;
	struct before old;
	bool ipv6, moved = false;

	err = before_open(instance, &old, fds, &ipv6);
	if (err)
		return err;
	if (old.meta.netns != netns_self()) {
		err = -EXDEV;
		log_error("%s: belongs to another network namespace, and can "
			  "only be taken over there",
			  instance->pin_dir);
		goto out;
	}
	err = open_next(instance, true, &next);
	if (err) {
		log_error("%s/%s: %s", instance->pin_dir, INSTANCE_NEXT,
			  strerror(-err));
		goto close;
	}
	begun = pin_is_there(&next, map_names[MAP_masq_meta]);
	if (begun < 0)
		err = begun;
	else if (begun)
		err = reopen(instance, &next, &moved);
	else
		err = plan_meta(&old, options, &next, ipv6)
			      ?: make(&old, fds, &next);
	if (err && !begun) { /* nothing has happened */
		pins_remove(&next);
		unlinkat(instance->lock_fd, INSTANCE_NEXT, AT_REMOVEDIR);
	}
	if (!err && begun && !moved)
		err = share(&old, &next, fds);
	err = err ?: finish(instance, &old, fds, &next, moved);
close:
	close_next(&next);
out:
	before_close(&old, fds);
	return err;
}
