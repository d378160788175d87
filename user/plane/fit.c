// SPDX-License-Identifier: GPL-2.0-only
/* fit.c - which of the two ways it takes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/adopt.h"
#include "plane/fit.h"
#include "plane/load.h"
#include "plane/make.h"
#include "plane/pins.h"
#include "plane/probe.h"
#include "plane/succeed.h"
#include "plane/swap.h"

/* --- what is open ------------------------------------------------------- */

static int map_id(int fd, uint32_t *id)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &length);

	*id = info.id;
	return err;
}

/* Is it what is pinned, and are its programs those that are? */
static int is_pinned(const struct instance *instance, bool *same)
{
	int fd = pin_open(instance, map_names[MAP_masq_meta]), err;
	uint32_t ours, pinned, zero = 0;
	struct masq_meta meta = {};

	if (fd < 0)
		return fd;
	err = map_id(fd, &pinned)
		      ?: map_id(instance->map[MAP_masq_meta], &ours);
	*same = !err && ours == pinned;
	if (*same)
		err = bpf_map_lookup_elem(fd, &zero, &meta);
	*same = *same && !err && meta.programs == instance->meta.programs &&
		meta.features == instance->meta.features;
	close(fd);
	if (err)
		log_error("%s: cannot read masq_meta: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

int instance_renew(struct instance *instance, bool locked)
{
	struct instance fresh = *instance;
	bool same, writable = instance->writable;
	int err = locked ? succeed_needed(instance) : 0;

	/* what somebody has begun would not see what is changed here */
	if (err == 2)
		err = succeed(instance, NULL);
	if (err < 0)
		return err;
	err = is_pinned(instance, &same);
	if (err || same)
		return err;
	maps_none(&fresh);
	fresh.prefixes = NULL;
	err = instance_adopt(&fresh) ?: instance_map_prefixes(&fresh, writable);
	if (err) {
		maps_close(&fresh);
		return err;
	}
	instance_unmap_prefixes(instance);
	maps_close(instance);
	*instance = fresh;
	return 1;
}

/* --- other programs ----------------------------------------------------- */

static int write_meta(const struct instance *instance,
		      const struct masq_meta *meta)
{
	int err = map_write(instance, MAP_masq_meta, 0, meta);

	if (err)
		log_error("%s: cannot write masq_meta: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

/* What the instance has not yet, since its programs had no such map. */
static int pin_new_maps(const struct instance *instance,
			const struct instance *fresh)
{
	int err = 0;

	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (instance->map[i] < 0)
			err = pin_make(fresh, fresh->map[i], map_names[i]);
	return err;
}

static int put_in_programs(struct instance *instance, uint32_t features)
{
	struct before plain = { .flows = { -1, -1 },
				.aside = { -1, -1 },
				.prog = instance->prog[PROG_masq_egress] };
	struct instance fresh = *instance;
	int err;

	memcpy(plain.map, instance->map, sizeof(plain.map));
	maps_none(&fresh);
	err = map_read(instance, MAP_masq_meta, 0, &fresh.meta);
	if (err) {
		log_error("%s: cannot read masq_meta: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF));
		return err;
	}
	/* those that are hooked are not pinned until the end */
	fresh.meta.unsettled = 1;
	err = write_meta(instance, &fresh.meta);
	if (err)
		return err;
	fresh.meta.unsettled = 0;
	fresh.meta.features = features;
	fresh.meta.programs = dataplane_programs(features);
	snprintf(fresh.meta.version, sizeof(fresh.meta.version), "%s",
		 MASQ_VERSION);
	/* masq_meta last: until then the next one does it again */
	err = dataplane_load(&fresh, &plain)
		      ?: pin_new_maps(instance, &fresh)
		      ?: swap_hooks(instance, &fresh)
		      ?: pins_programs(&fresh) ?: write_meta(&fresh, &fresh.meta);
	if (err) {
		maps_close(&fresh);
		return err;
	}
	fresh.unsettled = false;
	log_info("%s: the programs of version %s are in place",
		 instance->pin_dir, MASQ_VERSION);
	maps_close(instance);
	*instance = fresh;
	return 1;
}

/* --- what is wanted ----------------------------------------------------- */

static bool is_smaller(struct masq_shape a, struct masq_shape b)
{
	return (uint64_t)a.stripes * a.ways < (uint64_t)b.stripes * b.ways;
}

int instance_want(struct instance *instance,
		  const struct instance_options *want)
{
	int err = instance->fit
			  ? instance->fit(instance, want, instance->fit_data)
			  : instance_fit(instance, want);

	return err < 0 ? err : 0;
}

int instance_fit(struct instance *instance, const struct instance_options *want)
{
	struct instance_options options = *want;
	const struct masq_meta *has = &instance->meta;
	struct instance plan = {};
	int err;

	if (!options.configured) {
		options.no_flow_counts = has->features &
					 MASQ_FEAT_NO_FLOW_COUNT;
		options.ipv6 = false;
	}
	if (!options.max_flows)
		options.max_flows = has->max_flows;
	options.fast_path |= !!(has->features & MASQ_FEAT_FAST);
	err = instance_plan(&plan, &options);
	if (err)
		return err;
	/* see probe.h (where they cannot be loaded so: dataplane_load); an
	 * interface that has gone may come again */
	plan.meta.features |= has->features & (PROBED | MASQ_FEAT_L3);
	plan.meta.programs = dataplane_programs(plan.meta.features);
	if (plan.meta.max_flows != has->max_flows ||
	    plan.meta.max_prefixes > has->max_prefixes ||
	    (options.ipv6 && is_smaller(has->shape[1], plan.meta.shape[1]))) {
		err = succeed(instance, want);
		if (!err)
			err = instance_renew(instance, true);
		return err;
	}
	if (plan.meta.features != has->features ||
	    plan.meta.programs != has->programs || instance->unsettled)
		return put_in_programs(instance, plan.meta.features);
	return 0;
}
