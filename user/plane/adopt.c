// SPDX-License-Identifier: GPL-2.0-only
/* adopt.c - pins are trusted only after everything about them was checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/adopt.h"
#include "plane/before.h"
#include "plane/clock.h"
#include "plane/load.h"
#include "plane/pins.h"

/* Where the layout is ours; 0, also where it is another; or -errno, printed. */
static int peek_meta(struct instance *instance)
{
	struct masq_meta meta = {};
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), zero = 0;
	int fd = pin_open(instance, map_names[MAP_masq_meta]), err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	if (!err && info.value_size == sizeof(meta))
		err = bpf_map_lookup_elem(fd, &zero, &meta);
	if (err == -EINVAL) /* a program, or a map of another type */
		err = 0;
	if (!err && meta.magic == MASQ_MAGIC && meta.abi == MASQ_ABI) {
		instance->meta = meta;
		instance->unsettled |= meta.unsettled;
	}
	if (err)
		log_error("%s/%s: cannot read: %s", instance->pin_dir,
			  map_names[MAP_masq_meta],
			  caps_strerror(err, CAPS_BPF));
	close(fd);
	return err;
}

static bool is_shape(struct masq_shape shape)
{
	return shape.stripes && shape.ways >= 2 &&
	       shape.ways <= MASQ_MAX_WAYS &&
	       (uint64_t)shape.stripes * (shape.ways + 1) * MASQ_PAGE_SLOTS <
		       MASQ_NO_SLOT;
}

static int check_meta(struct instance *instance)
{
	char path[PIN_PATH_MAX];
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), zero = 0;
	struct masq_meta *meta;
	int fd = instance->map[MAP_masq_meta], err;

	pin_path(instance, map_names[MAP_masq_meta], path);
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	/* whatever the layout: one value, as long as the part that we read */
	if (err || info.type != BPF_MAP_TYPE_ARRAY || info.max_entries != 1 ||
	    info.value_size < offsetof(struct masq_meta, netns)) {
		log_error("%s: not an instance of masqbpf", path);
		return -EINVAL;
	}
	meta = calloc(1, info.value_size + sizeof(*meta));
	if (!meta)
		return -ENOMEM;
	err = bpf_map_lookup_elem(fd, &zero, meta);
	if (err) {
		log_error("%s: cannot read: %s", path,
			  caps_strerror(err, CAPS_BPF));
	} else if (meta->magic != MASQ_MAGIC) {
		log_error("%s: not an instance of masqbpf", path);
		err = -EINVAL;
	} else if (meta->abi != MASQ_ABI || info.value_size != sizeof(*meta)) {
		log_error("%s: made by masqbpf %.*s with layout %u; this is "
			  "layout %u: %s",
			  instance->pin_dir, (int)sizeof(meta->version) - 1,
			  meta->version, meta->abi, MASQ_ABI,
			  before_known(meta->abi)
				  ? "`masqbpf attach IFACE` and the agent take "
				    "it over, and no flow ends"
				  : "use that version, or `masqbpf detach "
				    "--all`");
		err = -EPROTO;
	} else if (!meta->hz || !meta->max_flows || !meta->max_prefixes ||
		   meta->max_flows > MAX_FLOWS_LIMIT ||
		   meta->max_prefixes > 4 * MAX_PREFIXES_LIMIT ||
		   !is_shape(meta->shape[0]) || !is_shape(meta->shape[1])) {
		log_error("%s: damaged", path);
		err = -EINVAL;
	} else {
		instance->meta = *meta;
		instance->meta.version[sizeof(meta->version) - 1] = '\0';
		instance->unsettled = meta->unsettled;
	}
	free(meta);
	return err;
}

static int check_map(const struct instance *instance, int fd,
		     const struct bpf_map *want)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &length);

	if (!err && info.type == bpf_map__type(want) &&
	    info.key_size == bpf_map__key_size(want) &&
	    info.value_size == bpf_map__value_size(want) &&
	    info.max_entries == bpf_map__max_entries(want) &&
	    info.map_flags == bpf_map__map_flags(want))
		return 0;
	log_error("%s/%s: not the map that belongs there: type %u, key %u, "
		  "value %u, entries %u, flags %#x",
		  instance->pin_dir, bpf_map__name(want), info.type,
		  info.key_size, info.value_size, info.max_entries,
		  info.map_flags);
	return -EINVAL;
}

static int check_prog(const struct instance *instance, int fd, const char *name)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &length);

	/* libbpf gives no name where its probe for names has failed */
	if (!err && info.type == BPF_PROG_TYPE_SCHED_CLS &&
	    (!*info.name || !strcmp(info.name, name)))
		return 0;
	log_error("%s/%s: not the program that belongs there",
		  instance->pin_dir, name);
	return -EINVAL;
}

/* Not -ENOENT: that would be "no instance here". */
static int say_gone(const struct instance *instance, const char *name)
{
	log_error("%s/%s: the pin is gone: run `masqbpf detach --all` and "
		  "attach again",
		  instance->pin_dir, name);
	return -EINVAL;
}

static int open_progs(struct instance *instance, bool all)
{
	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		int fd = pin_open(instance, prog_names[i]);

		if (fd == -ENOENT &&
		    (!all || prog_is_left_out(&instance->meta, i)))
			continue;
		if (fd == -ENOENT)
			return say_gone(instance, prog_names[i]);
		if (fd < 0)
			return fd;
		instance->prog[i] = fd;
		if (check_prog(instance, fd, prog_names[i]))
			return -EINVAL;
	}
	return 0;
}

/* All but masq_meta, which is open. */
static int adopt_rest(struct instance *instance)
{
	struct dataplane d;
	int err = check_meta(instance);

	if (err)
		return err;
	err = dataplane_open(&d, &instance->meta, NULL);
	if (err) {
		log_error("%s: cannot open the built-in programs: %s",
			  instance->pin_dir, strerror(-err));
		return err;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		if (instance->map[i] < 0)
			instance->map[i] = pin_open(instance, map_names[i]);
		err = instance->map[i];
		if (err == -ENOENT && map_is_young(i)) {
			instance->map[i] = -1;
			instance->unsettled = true;
			err = 0;
			continue;
		}
		if (err == -ENOENT)
			err = say_gone(instance, map_names[i]);
		if (err < 0)
			break;
		err = check_map(instance, instance->map[i],
				bpf_object__find_map_by_name(d.obj,
							     map_names[i]));
	}
	dataplane_close(&d);
	return err ?: open_progs(instance, true) ?: clock_read(instance);
}

int instance_adopt(struct instance *instance)
{
	int fd = pin_open(instance, map_names[MAP_masq_meta]), err;

	if (fd < 0)
		return fd;
	instance->map[MAP_masq_meta] = fd;
	err = adopt_rest(instance);
	/* there is an instance, whatever could not be found of it */
	return err == -ENOENT ? -EIO : err;
}

int instance_adopt_remains(struct instance *instance)
{
	int err = peek_meta(instance);

	/* of another layout only the programs count */
	for (int i = 0; i < MASQ_MAP_COUNT && instance->meta.magic && !err;
	     i++) {
		instance->map[i] = pin_open(instance, map_names[i]);
		if (instance->map[i] < 0 && instance->map[i] != -ENOENT)
			err = instance->map[i];
	}
	return err ?: open_progs(instance, false);
}
