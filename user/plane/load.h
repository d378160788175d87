/* SPDX-License-Identifier: GPL-2.0-only */
/* load.h - the two objects that are built in, of which a kernel takes one. */
#ifndef MASQ_PLANE_LOAD_H
#define MASQ_PLANE_LOAD_H

#include "plane/maps.h"

struct bpf_object;
struct masq;
struct masq_modern;

/* One of the two skeletons, opened. */
struct dataplane {
	struct masq *base;
	struct masq_modern *modern;
	struct bpf_object *obj;
};

/* Opens the object for meta->features, its maps sized after *meta. 0, -errno. */
int dataplane_open(struct dataplane *d, const struct masq_meta *meta);
void dataplane_close(struct dataplane *d);
/* Loads it and takes over its descriptors. 0 or -errno, printed. */
int dataplane_load(struct instance *instance);
/* libbpf's words go to -v, and the first that says what failed to our line. */
void dataplane_hush(void);

#endif
