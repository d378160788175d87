// SPDX-License-Identifier: GPL-2.0-only
/* make.c - sized, loaded, pinned; masq_meta last, which makes it one. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/random.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netdev.h"
#include "kernel/netns.h"
#include "plane/adopt.h"
#include "plane/clock.h"
#include "plane/load.h"
#include "plane/make.h"
#include "plane/maps.h"
#include "plane/pindir.h"
#include "plane/pins.h"
#include "plane/probe.h"

/* Of maxFlows, and at least: IPv6 flows as long as it is not translated. */
#define IDLE_IPV6_SHARE 16
#define IDLE_IPV6_FLOWS 64

static int pin_all(const struct instance *instance)
{
	int err = 0;

	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (i != MAP_masq_meta)
			err = pin_make(instance, instance->map[i],
				       map_names[i]);
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++)
		if (instance->prog[i] >= 0)
			err = pin_make(instance, instance->prog[i],
				       prog_names[i]);
	return err
		       ?: pin_make(instance, instance->map[MAP_masq_meta],
				   map_names[MAP_masq_meta]);
}

/* A power of two, twice what is asked for: reloads need room for new slots. */
static uint32_t prefix_slots(uint32_t asked)
{
	uint32_t slots = MASQ_MIN_PREFIX_SLOTS;

	while (slots < 2 * (uint64_t)asked)
		slots *= 2;
	return slots;
}

/* Sizes of the flow tables, and what their hash is seeded with. */
static int shape_tables(struct masq_meta *meta, bool ipv6)
{
	uint32_t flows6 = meta->max_flows;

	/* memory for what nobody asks for would be the larger table's half */
	if (!ipv6) {
		flows6 = meta->max_flows / IDLE_IPV6_SHARE;
		if (flows6 < IDLE_IPV6_FLOWS)
			flows6 = IDLE_IPV6_FLOWS;
		if (flows6 > meta->max_flows)
			flows6 = meta->max_flows;
	}
	meta->shape[0] = masq_shape_for(meta->max_flows);
	meta->shape[1] = masq_shape_for(flows6);
	if (getrandom(meta->hash_key, sizeof(meta->hash_key), 0) !=
	    sizeof(meta->hash_key))
		return -errno;
	while (!meta->seal) /* 0 would be none */
		if (getrandom(&meta->seal, sizeof(meta->seal), 0) !=
		    sizeof(meta->seal))
			return -errno;
	return 0;
}

/* Where it could not be found out there may be one. */
static bool needs_l3(void)
{
	struct netdev *netdev = NULL;
	bool needs = netdev_read_links(&netdev) || netdev_has_l3(netdev);

	netdev_free(netdev);
	return needs;
}

int instance_plan(struct instance *instance,
		  const struct instance_options *options)
{
	struct masq_meta *meta = &instance->meta;
	int err;

	*meta = (struct masq_meta){
		.magic = MASQ_MAGIC,
		.abi = MASQ_ABI,
		.max_flows = options && options->max_flows
				     ? options->max_flows
				     : MASQ_DEFAULT_MAX_FLOWS,
		.netns = netns_self(),
		.version = MASQ_VERSION,
	};
	if (!meta->netns) {
		/* nobody could say then whose it is, nor remove it */
		log_error("load: cannot know the network namespace: "
			  "/proc/self/ns/net: %s",
			  strerror(errno));
		return -EIO;
	}
	if (meta->max_flows > MAX_FLOWS_LIMIT ||
	    (options && options->max_prefixes > MAX_PREFIXES_LIMIT)) {
		log_error("load: too many flows (%u) or prefixes (%u)",
			  meta->max_flows, options ? options->max_prefixes : 0);
		return -E2BIG;
	}
	err = shape_tables(meta, options && options->ipv6);
	if (err) {
		log_error("load: no random numbers: %s", strerror(-err));
		return err;
	}
	meta->max_prefixes = prefix_slots(options ? options->max_prefixes : 0);
	meta->features = probe_features();
	if (options && options->no_flow_counts)
		meta->features |= MASQ_FEAT_NO_FLOW_COUNT;
	if (options && options->fast_path)
		meta->features |= MASQ_FEAT_FAST;
	if (needs_l3())
		meta->features |= MASQ_FEAT_L3;
	meta->programs = dataplane_programs(meta->features);
	log_debug(
		"features: bpf_loop %s, FIB source %s, FIB mark %s, conntrack %s",
		meta->features & MASQ_FEAT_LOOP ? "yes" : "no",
		meta->features & MASQ_FEAT_FIB_SRC ? "yes" : "no",
		meta->features & MASQ_FEAT_FIB_MARK ? "yes" : "no",
		meta->features & MASQ_FEAT_CT ? "yes" : "no");
	return 0;
}

static int write_meta(const struct instance *instance)
{
	uint32_t zero = 0;
	int err = bpf_map_update_elem(instance->map[MAP_masq_meta], &zero,
				      &instance->meta, BPF_ANY);

	if (err)
		log_error("masq_meta: cannot write: %s",
			  caps_strerror(err, CAPS_BPF));
	return err;
}

/*
 * Clears away what is pinned without masq_meta: what a killed process left, or
 * what somebody took masq_meta from.
 */
static int clear_remains(struct instance *instance,
			 const struct instance_options *options)
{
	struct instance left = *instance;
	struct netdev *netdev = NULL;
	bool hooked = false;
	int err;

	left.meta = (struct masq_meta){};
	maps_none(&left);
	err = instance_adopt_remains(&left);
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		hooked |= left.prog[i] >= 0;
	if (!err && hooked && options && options->unhook)
		err = netdev_read(&netdev) ?: options->unhook(&left, netdev);
	netdev_free(netdev);
	maps_close(&left);
	if (err)
		return err;
	err = pins_remove(instance);
	if (err)
		log_error("%s: cannot clean up: %s", instance->pin_dir,
			  strerror(-err));
	return err;
}

int instance_make(struct instance *instance,
		  const struct instance_options *options)
{
	struct masq_meta *meta = &instance->meta;
	int err;

	err = instance_plan(instance, options) ?: dataplane_load(instance, NULL)
		      ?: clock_read(instance)
		      ?: clock_read_hz(instance, &meta->hz)
		      ?: write_meta(instance)
		      ?: clear_remains(instance, options);
	if (err) {
		/* what lies there is as it was */
		pindir_remove(instance->pin_dir);
		return err;
	}
	err = pin_all(instance);
	if (err) {
		pins_remove(instance);
		pindir_remove(instance->pin_dir);
		return err;
	}
	instance->is_new = true;
	return 0;
}
