// SPDX-License-Identifier: GPL-2.0-only
/*
 * before3.c - layout 3 (until 2bd5a44): flows in the kernel's hash maps. To be
 * deleted with include/layout3.h and bpf/before3.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "layout3.h"
#include "plane/before.h"

#define BATCH 1024

/* Counters of layout 3 after which ours has new ones. */
static uint32_t stat3(uint32_t index)
{
	return index <= MASQ_S_RECLAIMED
		       ? index
		       : index + MASQ_S_FRAG_HELD - MASQ_S_RECLAIMED - 1;
}

/* The map changes meanwhile: what a batch misses has met our programs. */
#define DEFINE_WALK(FAM, WORDS)                                               \
	static int walk##FAM(                                                 \
		int fd, int (*take)(void *data, const struct masq_ctl *key),  \
		void *data)                                                   \
	{                                                                     \
		struct masq_key##FAM *keys = calloc(BATCH, sizeof(*keys));    \
		struct masq_before3_flow##FAM *flows =                        \
			calloc(BATCH, sizeof(*flows));                        \
		uint32_t in = 0, out = 0, room = BATCH;                       \
		bool first = true, more = true;                               \
		int err = keys && flows ? 0 : -ENOMEM;                        \
                                                                              \
		while (!err && more) {                                        \
			uint32_t count = room;                                \
                                                                              \
			err = bpf_map_lookup_batch(fd, first ? NULL : &in,    \
						   &out, keys, flows, &count, \
						   NULL);                     \
			/* a bucket of the kernel's larger than the rest */   \
			if (err == -ENOSPC) {                                 \
				free(keys);                                   \
				free(flows);                                  \
				room *= 2;                                    \
				keys = calloc(room, sizeof(*keys));           \
				flows = calloc(room, sizeof(*flows));         \
				err = keys && flows ? 0 : -ENOMEM;            \
				continue;                                     \
			}                                                     \
			more = err != -ENOENT;                                \
			err = err == -ENOENT ? 0 : err;                       \
			for (uint32_t i = 0; i < count && !err; i++) {        \
				struct masq_ctl key = {                       \
					.family = FAM,                        \
					.proto = keys[i].proto,               \
					.role = keys[i].role,                 \
					.in_port = keys[i].in_port,           \
					.rem_port = keys[i].rem_port,         \
				};                                            \
                                                                              \
				memcpy(key.in_addr, keys[i].in_addr,          \
				       4 * WORDS);                            \
				memcpy(key.rem_addr, keys[i].rem_addr,        \
				       4 * WORDS);                            \
				if (flows[i].kind != MASQ_K_REV)              \
					err = take(data, &key);               \
			}                                                     \
			first = false;                                        \
			in = out;                                             \
		}                                                             \
		free(keys);                                                   \
		free(flows);                                                  \
		return err;                                                   \
	}
DEFINE_WALK(4, 1)
DEFINE_WALK(6, 4)

static int walk(const struct before *old, int family,
		int (*take)(void *data, const struct masq_ctl *key), void *data)
{
	return family == 4 ? walk4(old->flows[0], take, data)
			   : walk6(old->flows[1], take, data);
}

static const char *const only[] = { "masq_ring4", "masq_ring6", NULL };

const struct before_reader before3 = {
	.layout = 3,
	.meta_size = offsetof(struct masq_meta, shape),
	.only = only,
	.stats = MASQ_S_REFUSED + 1 - (MASQ_S_FRAG_HELD - MASQ_S_RECLAIMED - 1),
	.stat = stat3,
	.walk = walk,
};
