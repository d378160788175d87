/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * before.h - instances that one of ours can take over from: of older layouts,
 * and of this one. Each layout's reader is a file of its own, and goes with
 * bpf/beforeN.h when nobody upgrades from it any more.
 */
#ifndef MASQ_PLANE_BEFORE_H
#define MASQ_PLANE_BEFORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/load.h"

/* What came of a walk through the old flow table. */
struct before_sum {
	unsigned long taken; /* flows that are in the new table now */
	unsigned long lost; /* that found no room there */
};

struct before_reader {
	uint32_t layout;
	size_t meta_size; /* of its struct masq_meta, which ours begins with */
	const char *const
		*only; /* pins that no later layout has; ends by NULL */
	/* masq_stats: how many, and what number each has in ours */
	uint32_t stats;
	uint32_t (*stat)(uint32_t index);
	/* asks for every flow of the family (4 or 6). 0 or -errno */
	int (*walk)(const struct before *old, int family,
		    int (*take)(void *data, const struct masq_ctl *key),
		    void *data);
};

extern const struct before_reader before3, before4;

/* The layout in the pin directory; -ENOENT: no instance. -errno, printed. */
int before_layout(const struct instance *instance, uint32_t *layout);
bool before_known(uint32_t layout);
/*
 * Opens what is pinned: fds by enum masq_map_id, -1 for what it has not.
 * *ipv6: its policy translates IPv6. 0 or -errno, printed.
 */
int before_open(const struct instance *instance, struct before *old,
		int fds[MASQ_MAP_COUNT], bool *ipv6);
void before_close(struct before *old, int fds[MASQ_MAP_COUNT]);
/* Has the programs of *next take over every flow. 0 or -errno, printed. */
int before_walk(const struct before *old, struct instance *next,
		struct before_sum *sum);
/* Removes the pins that *next has no use for. 0 or -errno. */
int before_unpin(const struct instance *instance, uint32_t layout);

/* Statistics of a layout, and what number one of them has in ours. */
uint32_t before_stats(uint32_t layout);
uint32_t before_stat(uint32_t layout, uint32_t index);

#endif
