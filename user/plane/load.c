// SPDX-License-Identifier: GPL-2.0-only
/* load.c - from the skeletons to descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>
#include "base/hash.h"
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/load.h"
#include "plane/offsets.h"
#include "plane/probe.h"
#include "masq.skel.h"
#include "masq_modern.skel.h"
#include "masq_noct.skel.h"

/* The first that names what failed; empty again before each load. */
static char libbpf_complaint[256];

static int print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char text[4096], *line, *rest = text;

	if (level == LIBBPF_DEBUG) /* its own workings: a thousand lines */
		return 0;
	vsnprintf(text, sizeof(text), fmt, ap);
	while ((line = strsep(&rest, "\n"))) {
		if (!strncmp(line, "libbpf: ", 8))
			line += 8;
		if (!*line)
			continue;
		if (!*libbpf_complaint && strstr(line, "failed") &&
		    (!strncmp(line, "prog '", 6) || !strncmp(line, "map '", 5)))
			snprintf(libbpf_complaint, sizeof(libbpf_complaint),
				 "%s", line);
		log_debug("libbpf: %s", line);
	}
	return 0;
}

void dataplane_close(struct dataplane *d)
{
	masq__destroy(d->base);
	masq_modern__destroy(d->modern);
	masq_noct__destroy(d->noct);
	*d = (struct dataplane){};
}

static int size_map(const struct dataplane *d, enum masq_map_id id,
		    uint64_t entries)
{
	struct bpf_map *map =
		bpf_object__find_map_by_name(d->obj, map_names[id]);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

static const struct before no_before = {
	.flows = { -1, -1 },
	.aside = { -1, -1 },
	.map = { [0 ... MASQ_MAP_COUNT - 1] = -1 },
	.prog = -1,
};

/* What the programs of either object read of *meta. */
#define FILL_RODATA(rodata, meta, seal, was)                                \
	do {                                                                \
		(rodata)->masq_before = (was)->layout;                      \
		(rodata)->masq_before_shape_v4 = (was)->meta.shape[0];      \
		(rodata)->masq_before_shape_v6 = (was)->meta.shape[1];      \
		memcpy((void *)(rodata)->masq_before_hash_key,              \
		       (was)->meta.hash_key, sizeof((was)->meta.hash_key)); \
		(rodata)->masq_features = (meta)->features;                 \
		(rodata)->masq_seal = seal;                                 \
		(rodata)->masq_shape_v4 = (meta)->shape[0];                 \
		(rodata)->masq_shape_v6 = (meta)->shape[1];                 \
		memcpy((void *)(rodata)->masq_hash_key, (meta)->hash_key,   \
		       sizeof((meta)->hash_key));                           \
	} while (0)

/* The tables of the layout that is taken over from; those of no other. */
static int use_before(const struct dataplane *d, const struct before *before)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, d->obj)
	{
		const char *name = bpf_map__name(map);
		uint32_t layout;
		bool aside;
		int v6;

		if (strncmp(name, "masq_before", strlen("masq_before")))
			continue;
		/* masq_beforeL_F or masq_beforeL_asideF */
		layout = name[strlen("masq_before")] - '0';
		aside = strstr(name, "aside");
		v6 = name[strlen(name) - 1] == '6';
		if (layout != before->layout)
			err = bpf_map__set_autocreate(map, false);
		else
			err = bpf_map__reuse_fd(map, aside ? before->aside[v6]
							   : before->flows[v6]);
		if (err)
			return err;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (before->map[i] >= 0)
			err = bpf_map__reuse_fd(bpf_object__find_map_by_name(
							d->obj, map_names[i]),
						before->map[i]);
	return err;
}

/*
 * Notes of fragments and the like, which are not pinned: those that the old
 * programs have, where this kernel lets us (CAP_SYS_ADMIN), for a datagram that
 * is under way just now.
 */
static void use_unpinned(const struct dataplane *d, int prog)
{
	static const char *const names[] = { "masq_frags", "masq_held",
					     "masq_crowds", "masq_pairs" };
	uint32_t ids[64] = {}, length;
	struct bpf_prog_info info = { .nr_map_ids = 64,
				      .map_ids = (uintptr_t)ids };

	length = sizeof(info);
	if (prog < 0 || bpf_obj_get_info_by_fd(prog, &info, &length))
		return;
	for (uint32_t i = 0; i < info.nr_map_ids && i < 64; i++) {
		int fd = bpf_map_get_fd_by_id(ids[i]);
		struct bpf_map_info map = {};

		if (fd < 0)
			continue;
		length = sizeof(map);
		if (bpf_obj_get_info_by_fd(fd, &map, &length))
			map.name[0] = '\0';
		for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++) {
			struct bpf_map *want =
				bpf_object__find_map_by_name(d->obj, names[n]);

			if (!strcmp(map.name, names[n]) &&
			    map.key_size == bpf_map__key_size(want) &&
			    map.value_size == bpf_map__value_size(want) &&
			    map.max_entries == bpf_map__max_entries(want))
				bpf_map__reuse_fd(want, fd);
		}
		close(fd);
	}
}

int dataplane_open(struct dataplane *d, const struct masq_meta *meta,
		   const struct before *before)
{
	const struct before *was = before ?: &no_before;
	uint32_t pages4 = masq_shape_pages(meta->shape[0]);
	uint32_t pages6 = masq_shape_pages(meta->shape[1]);
	uint32_t seal = meta->seal;
	int err;

	*d = (struct dataplane){};
	if (meta->features & MASQ_FEAT_LOOP &&
	    !(meta->features & MASQ_FEAT_CT)) {
		d->noct = masq_noct__open();
		if (d->noct) {
			FILL_RODATA(d->noct->rodata, meta, seal, was);
			d->obj = d->noct->obj;
		}
	} else if (meta->features & MASQ_FEAT_LOOP) {
		d->modern = masq_modern__open();
		if (d->modern) {
			FILL_RODATA(d->modern->rodata, meta, seal, was);
			d->obj = d->modern->obj;
		}
	} else {
		d->base = masq__open();
		if (d->base) {
			FILL_RODATA(d->base->rodata, meta, seal, was);
			d->obj = d->base->obj;
		}
	}
	if (!d->obj)
		return -errno;
	err = size_map(d, MAP_masq_flows4, pages4) ?:
	      size_map(d, MAP_masq_flows6, pages6) ?:
	      size_map(d, MAP_masq_aside4, pages4) ?:
	      size_map(d, MAP_masq_aside6, pages6) ?:
	      size_map(d, MAP_masq_prefixes, meta->max_prefixes) ?:
	      size_map(d, MAP_masq_counters, meta->max_prefixes);
	/* a map that is used has its old name from then on */
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		d->map[i] = bpf_object__find_map_by_name(d->obj, map_names[i]);
		err = d->map[i] ? 0 : -ENOENT;
	}
	if (!err)
		err = use_before(d, was);
	if (!err)
		use_unpinned(d, was->prog);
	if (err)
		dataplane_close(d);
	return err;
}

uint64_t dataplane_programs(uint32_t features)
{
	const unsigned char *bytes;
	size_t size;

	bytes = !(features & MASQ_FEAT_LOOP) ? masq__elf_bytes(&size)
		: features & MASQ_FEAT_CT    ? masq_modern__elf_bytes(&size)
					     : masq_noct__elf_bytes(&size);
	return hash_of(bytes, size);
}

static int keep_fd(int fd)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return kept < 0 ? -errno : kept;
}

static struct masq_offsets *offsets_of(const struct dataplane *d)
{
	return (struct masq_offsets
			*)(d->modern ? &d->modern->rodata->masq_offsets
			   : d->noct ? &d->noct->rodata->masq_offsets
				     : &d->base->rodata->masq_offsets);
}

static int leave_out(const struct dataplane *d, const struct masq_meta *meta)
{
	int err = 0;

	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++)
		if (prog_is_left_out(meta, i))
			err = bpf_program__set_autoload(
				bpf_object__find_program_by_name(d->obj,
								 prog_names[i]),
				false);
	return err;
}

static int open_and_load(struct dataplane *d, const struct masq_meta *meta,
			 const struct before *before)
{
	int err;

	*libbpf_complaint = '\0';
	err = dataplane_open(d, meta, before);
	if (!err && meta->features & MASQ_FEAT_FAST)
		offsets_find(offsets_of(d));
	return err ?: leave_out(d, meta) ?: bpf_object__load(d->obj);
}

int dataplane_load(struct instance *instance, const struct before *before)
{
	struct dataplane d;
	int err = open_and_load(&d, &instance->meta, before);

	/* who made the programs could use nf_conntrack's functions, and we who
	 * put others in their place cannot: the agent's helper */
	if (err && instance->meta.features & MASQ_FEAT_CT &&
	    probe_conntrack() != PROBE_CT_USABLE) {
		dataplane_close(&d);
		instance->meta.features &= ~MASQ_FEAT_CT;
		instance->meta.programs =
			dataplane_programs(instance->meta.features);
		err = open_and_load(&d, &instance->meta, before);
		if (!err)
			log_warn(
				"load: conntrack is not asked by these programs: its functions are a module's, which takes CAP_SYS_ADMIN: `masqbpf attach IFACE` as root puts others in their place");
	}
	if (err) {
		log_error("load: %s%s; -v shows the kernel's words",
			  *libbpf_complaint ? libbpf_complaint : strerror(-err),
			  caps_hint(err, CAPS_LOAD));
		goto out;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		if (instance->map[i] >= 0)
			close(instance->map[i]);
		instance->map[i] = keep_fd(bpf_map__fd(d.map[i]));
		err = instance->map[i] < 0 ? instance->map[i] : 0;
	}
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++) {
		struct bpf_program *prog =
			bpf_object__find_program_by_name(d.obj, prog_names[i]);

		if (instance->prog[i] >= 0)
			close(instance->prog[i]);
		instance->prog[i] = -1;
		if (prog_is_left_out(&instance->meta, i))
			continue;
		instance->prog[i] = prog ? keep_fd(bpf_program__fd(prog))
					 : -ENOENT;
		err = instance->prog[i] < 0 ? instance->prog[i] : 0;
	}
	if (err)
		log_error("load: cannot take over maps and programs: %s",
			  strerror(-err));
out:
	dataplane_close(&d);
	return err;
}

void dataplane_hush(void)
{
	libbpf_set_print(print);
}
