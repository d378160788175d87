// SPDX-License-Identifier: GPL-2.0-only
/* load.c - from the skeletons to descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/load.h"
#include "masq.skel.h"
#include "masq_modern.skel.h"

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
	*d = (struct dataplane){};
}

static int size_map(const struct dataplane *d, enum masq_map_id id,
		    uint64_t entries)
{
	struct bpf_map *map =
		bpf_object__find_map_by_name(d->obj, map_names[id]);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

/* What the programs of either object read of *meta. */
#define FILL_RODATA(rodata, meta, seal)                                   \
	do {                                                              \
		(rodata)->masq_features = (meta)->features;               \
		(rodata)->masq_seal = seal;                               \
		(rodata)->masq_shape_v4 = (meta)->shape[0];               \
		(rodata)->masq_shape_v6 = (meta)->shape[1];               \
		memcpy((void *)(rodata)->masq_hash_key, (meta)->hash_key, \
		       sizeof((meta)->hash_key));                         \
	} while (0)

int dataplane_open(struct dataplane *d, const struct masq_meta *meta)
{
	uint32_t pages4 = masq_shape_pages(meta->shape[0]);
	uint32_t pages6 = masq_shape_pages(meta->shape[1]);
	uint32_t seal = 0;
	int err;

	*d = (struct dataplane){};
	while (!seal) /* 0 would be none */
		if (getrandom(&seal, sizeof(seal), 0) != sizeof(seal))
			return -errno;
	if (meta->features & MASQ_FEAT_LOOP) {
		d->modern = masq_modern__open();
		if (d->modern) {
			FILL_RODATA(d->modern->rodata, meta, seal);
			d->obj = d->modern->obj;
		}
	} else {
		d->base = masq__open();
		if (d->base) {
			FILL_RODATA(d->base->rodata, meta, seal);
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
	if (err)
		dataplane_close(d);
	return err;
}

static int keep_fd(int fd)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return kept < 0 ? -errno : kept;
}

int dataplane_load(struct instance *instance)
{
	struct dataplane d;
	int err;

	*libbpf_complaint = '\0';
	err = dataplane_open(&d, &instance->meta);
	if (!err)
		err = bpf_object__load(d.obj);
	if (err) {
		log_error("load: %s%s; -v shows the kernel's words",
			  *libbpf_complaint ? libbpf_complaint : strerror(-err),
			  caps_hint(err, CAPS_LOAD));
		goto out;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		instance->map[i] = keep_fd(
			bpf_object__find_map_fd_by_name(d.obj, map_names[i]));
		err = instance->map[i] < 0 ? instance->map[i] : 0;
	}
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++) {
		struct bpf_program *prog =
			bpf_object__find_program_by_name(d.obj, prog_names[i]);

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
