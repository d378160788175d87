// SPDX-License-Identifier: GPL-2.0-only
/*
 * instance.c - opening, closing and removing a dataplane.
 *
 * masq_meta is pinned last and removed first: a directory without it is the
 * remainder of a process that was killed, and is cleaned by the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/log.h"
#include "kernel/netns.h"
#include "plane/adopt.h"
#include "plane/instance.h"
#include "plane/load.h"
#include "plane/make.h"
#include "plane/pindir.h"
#include "plane/pins.h"
#include "plane/succeed.h"

/* --- pins -------------------------------------------------------------- */

int instance_remove(struct instance *instance)
{
	int err = pins_remove(instance);

	if (!err)
		err = succeed_forget(instance);
	if (!err && unlinkat(instance->lock_fd, INSTANCE_AGENT, AT_REMOVEDIR) &&
	    errno != ENOENT)
		err = -errno;
	/* with somebody's pin in it, or mounted by itself */
	if (!err) {
		err = pindir_remove(instance->pin_dir);
		if (err == -ENOTEMPTY || err == -EBUSY)
			err = 0;
	}
	if (err)
		log_error("%s: cannot remove the pins: %s", instance->pin_dir,
			  strerror(-err));
	return err;
}

/* --- opening ----------------------------------------------------------- */

static size_t prefixes_size(const struct instance *instance)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = (size_t)instance->meta.max_prefixes *
		      sizeof(struct masq_prefix);

	return (size + page - 1) / page * page;
}

int instance_map_prefixes(struct instance *instance, bool writable)
{
	void *prefixes = mmap(NULL, prefixes_size(instance),
			      PROT_READ | (writable ? PROT_WRITE : 0),
			      MAP_SHARED, instance->map[MAP_masq_prefixes], 0);

	if (prefixes == MAP_FAILED) {
		int err = -errno;

		log_error("masq_prefixes: cannot map: %s", strerror(-err));
		return err;
	}
	instance->prefixes = prefixes;
	instance->writable = writable;
	return 0;
}

void instance_unmap_prefixes(struct instance *instance)
{
	if (instance->prefixes)
		munmap(instance->prefixes, prefixes_size(instance));
	instance->prefixes = NULL;
}

static enum pindir_use use_of(enum instance_mode mode,
			      const struct instance_options *options)
{
	if (mode == INSTANCE_READ)
		return PINDIR_READ;
	return options && options->patient ? PINDIR_PATIENT : PINDIR_WRITE;
}

/*
 * What has to be known before anything is opened or made: how many values a
 * per-CPU lookup has, and where we are.
 */
static int know_machine(struct instance *instance)
{
	if (!netns_self()) {
		log_error("%s: cannot know the network namespace: "
			  "/proc/self/ns/net: %s (is /proc mounted?)",
			  instance->pin_dir, strerror(errno));
		return -EIO;
	}
	instance->cpus = libbpf_num_possible_cpus();
	if (instance->cpus > 0)
		return 0;
	log_error("%s: cannot know the processors: "
		  "/sys/devices/system/cpu/possible: %s (is sysfs mounted?)",
		  instance->pin_dir, strerror(-instance->cpus));
	return -EIO;
}

/*
 * What has to be taken over from another version, or had begun to be: by who
 * attaches, and in the second case by whoever may change anything.
 */
static int succeed_first(struct instance *instance, enum instance_mode mode,
			 const struct instance_options *options)
{
	int needed = succeed_needed(instance), err;

	if (needed < 0)
		return needed;
	if (mode == INSTANCE_MAKE ? needed
				  : needed == 2 && mode == INSTANCE_WRITE)
		return succeed(instance, options);
	/* what one that was killed has begun to make, and nobody needs */
	if (needed != 2) {
		err = mode == INSTANCE_READ ? 0 : succeed_forget(instance);
		if (err)
			log_error("%s: cannot remove what a killed attach has "
				  "begun: %s",
				  instance->pin_dir, strerror(-err));
		return err;
	}
	log_error("%s: is being taken over by another version, which was not "
		  "done to the end: `masqbpf attach IFACE` goes on with it",
		  instance->pin_dir);
	return -EAGAIN;
}

int instance_open(const char *pin_dir, enum instance_mode mode,
		  const struct instance_options *options, struct instance **out)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	int err;

	dataplane_hush();
	if (!instance) {
		log_error("%s: out of memory", pin_dir);
		return -ENOMEM;
	}
	instance->lock_fd = -1;
	maps_none(instance);
	/* main.c has checked the length */
	snprintf(instance->pin_dir, sizeof(instance->pin_dir), "%s", pin_dir);

	err = mode == INSTANCE_REMOVE ? 0 : know_machine(instance);
	if (err)
		goto out;
	err = pindir_open(pin_dir, mode == INSTANCE_MAKE,
			  use_of(mode, options));
	if (err < 0)
		goto out;
	instance->lock_fd = err;
	if (mode == INSTANCE_REMOVE) {
		instance->unsettled = succeed_needed(instance) == 2;
		err = instance_adopt_remains(instance);
	} else {
		err = succeed_first(instance, mode, options)
			      ?: instance_adopt(instance);
		if (err == -ENOENT && mode == INSTANCE_MAKE)
			err = instance_make(instance, options);
		if (!err)
			err = instance_map_prefixes(instance,
						    mode != INSTANCE_READ);
		if (err && instance->is_new)
			instance_remove(instance);
	}
	/* a reader keeps nobody waiting, whatever it does with what it reads */
	if (mode == INSTANCE_READ)
		instance_unlock(instance);
	if (err)
		goto out;
	if (mode != INSTANCE_MAKE && instance->meta.netns &&
	    instance_is_elsewhere(instance))
		netns_enter(instance->meta.netns);
	*out = instance;
	return 0;
out:
	instance_close(instance);
	return err;
}

bool instance_is_pinned(const char *pin_dir)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", pin_dir,
		 map_names[MAP_masq_meta]);
	return !lstat(path, &st);
}

void instance_close(struct instance *instance)
{
	if (!instance)
		return;
	instance_unmap_prefixes(instance);
	maps_close(instance);
	if (instance->lock_fd >= 0)
		close(instance->lock_fd);
	free(instance);
	log_hold(false);
}

void instance_unlock(const struct instance *instance)
{
	flock(instance->lock_fd, LOCK_UN);
	log_hold(false);
}

bool instance_is_gone(const struct instance *instance)
{
	struct stat st;

	return !fstat(instance->lock_fd, &st) && !st.st_nlink;
}

uint32_t instance_flows_max(const struct instance *instance, int family)
{
	struct masq_shape shape = instance->meta.shape[family == 6];
	/* as the dataplane reckons, see has_room() in bpf/room.h */
	uint64_t room = (uint64_t)shape.stripes * shape.ways * MASQ_PAGE_SLOTS /
			MASQ_SLOTS_PER_FLOW;

	return room < instance->meta.max_flows ? room
					       : instance->meta.max_flows;
}

bool instance_is_elsewhere(const struct instance *instance)
{
	return instance->meta.netns != netns_self();
}

int instance_say_elsewhere(const struct instance *instance)
{
	char path[PATH_MAX];

	if (netns_path(instance->meta.netns, path, sizeof(path)))
		log_error("%s: belongs to another network namespace: "
			  "nsenter --net=%s masqbpf ...",
			  instance->pin_dir, path);
	else
		log_error("%s: belongs to another network namespace (inode "
			  "%llu), or one that is gone",
			  instance->pin_dir,
			  (unsigned long long)instance->meta.netns);
	return -EXDEV;
}
