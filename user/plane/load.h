/* SPDX-License-Identifier: GPL-2.0-only */
/* load.h - the three objects that are built in, of which a kernel takes one. */
#ifndef MASQ_PLANE_LOAD_H
#define MASQ_PLANE_LOAD_H

#include "plane/maps.h"

struct bpf_map;
struct bpf_object;
struct masq;
struct masq_modern;
struct masq_noct;

/* One of the skeletons, opened. */
struct dataplane {
	struct masq *base;
	struct masq_modern *modern;
	struct masq_noct *noct; /* modern, and does not ask conntrack */
	struct bpf_object *obj;
	struct bpf_map *map[MASQ_MAP_COUNT]; /* by enum masq_map_id */
};

/* What a dataplane is loaded beside: see succeed.h. */
struct before {
	uint32_t layout; /* whose flows the programs are to read; 0: none's */
	struct masq_meta meta; /* of layout 3: without shape and hash_key */
	int flows[2], aside[2]; /* their tables; [0]: IPv4; -1: none */
	int map[MASQ_MAP_COUNT]; /* to be used as they are; -1: a new one */
	int prog; /* the maps that it has and nobody pins are used; -1 */
};

/* Opens the object for meta->features, its maps sized after *meta, and what of
 * *before (NULL: nothing) is to be used. 0, -errno. */
int dataplane_open(struct dataplane *d, const struct masq_meta *meta,
		   const struct before *before);
void dataplane_close(struct dataplane *d);
/* A hash of the object that is built in for these features. */
uint64_t dataplane_programs(uint32_t features);
/* Loads it and takes over its descriptors. 0 or -errno, printed. */
int dataplane_load(struct instance *instance, const struct before *before);
/* libbpf's words go to -v, and the first that says what failed to our line. */
void dataplane_hush(void);

#endif
