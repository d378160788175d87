// SPDX-License-Identifier: GPL-2.0-only
/* maps.c - the names, and one value at a time. */
#include <errno.h>
#include <bpf/bpf.h>
#include <unistd.h>
#include "plane/maps.h"

const char *const map_names[] = {
#define M(name) #name,
	MASQ_MAPS(M)
#undef M
};

const char *const prog_names[] = {
#define P(name) #name,
	MASQ_PROGS(P)
#undef P
};

int map_read(const struct instance *instance, enum masq_map_id map,
	     uint32_t key, void *value)
{
	return bpf_map_lookup_elem(instance->map[map], &key, value) ? -errno
								    : 0;
}

int map_write(const struct instance *instance, enum masq_map_id map,
	      uint32_t key, const void *value)
{
	return bpf_map_update_elem(instance->map[map], &key, value, BPF_ANY)
		       ? -errno
		       : 0;
}

void maps_none(struct instance *instance)
{
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		instance->map[i] = -1;
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		instance->prog[i] = -1;
}

void maps_close(struct instance *instance)
{
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		if (instance->map[i] >= 0)
			close(instance->map[i]);
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		if (instance->prog[i] >= 0)
			close(instance->prog[i]);
}
