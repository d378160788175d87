/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h - what an instance consists of: maps and programs, the names that they
 * are pinned by, and the descriptors of one that is open.
 */
#ifndef MASQ_PLANE_MAPS_H
#define MASQ_PLANE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "masqbpf.h"

#define MASQ_DEFAULT_PIN_DIR "/sys/fs/bpf/masqbpf"
#define MASQ_PIN_DIR_MAX     200
/* In the pin directory: a directory whose lock the agent has. */
#define INSTANCE_AGENT "agent"

/* Slots of the flow table are counted in 32 bits. */
#define MAX_FLOWS_LIMIT	   (1U << 28)
#define MAX_PREFIXES_LIMIT (1U << 24)

/* Every pinned map: M(name); the pin and the map in the object share it. */
#define MASQ_MAPS(M)      \
	M(masq_meta)      \
	M(masq_active)    \
	M(masq_policy)    \
	M(masq_ports)     \
	M(masq_trie_a)    \
	M(masq_trie_b)    \
	M(masq_snat)      \
	M(masq_prefixes)  \
	M(masq_history)   \
	M(masq_counters)  \
	M(masq_stats)     \
	M(masq_usage)     \
	M(masq_pods)      \
	M(masq_uplinks)   \
	M(masq_next_hops) \
	M(masq_fast)      \
	M(masq_skips)     \
	M(masq_seeded)    \
	M(masq_due)       \
	M(masq_ifaces)    \
	M(masq_local)     \
	M(masq_nets)      \
	M(masq_flows4)    \
	M(masq_flows6)    \
	M(masq_aside4)    \
	M(masq_aside6)    \
	M(masq_locks)     \
	M(masq_events0)   \
	M(masq_events1)   \
	M(masq_events2)   \
	M(masq_events3)   \
	M(masq_watch)

enum masq_map_id {
#define M(name) MAP_##name,
	MASQ_MAPS(M)
#undef M
	MASQ_MAP_COUNT,
};

/* Every pinned program: P(name). _l3: for uplinks without Ethernet header. */
#define MASQ_PROGS(P)      \
	P(masq_egress)     \
	P(masq_ingress)    \
	P(masq_egress_l3)  \
	P(masq_ingress_l3) \
	P(masq_beside)     \
	P(masq_beside_l3)  \
	P(masq_pod_in)     \
	P(masq_pod_out)    \
	P(masq_ctl)

enum masq_prog_id {
#define P(name) PROG_##name,
	MASQ_PROGS(P)
#undef P
	MASQ_PROG_COUNT,
};

/*
 * Maps that came after the first instances of this layout. Where one is
 * missing the instance's programs are older, and it is made with the new ones.
 */
static inline bool map_is_young(int map)
{
	return map == MAP_masq_fast || map == MAP_masq_skips;
}

/*
 * Those for interfaces without Ethernet header are loaded where there is one.
 * Elsewhere they are absent, and -1: half of what the kernel has to verify.
 */
static inline bool prog_is_left_out(const struct masq_meta *meta, int prog)
{
	return !(meta->features & MASQ_FEAT_L3) &&
	       (prog == PROG_masq_egress_l3 || prog == PROG_masq_ingress_l3 ||
		prog == PROG_masq_beside_l3);
}

/* By enum masq_map_id, enum masq_prog_id. */
extern const char *const map_names[];
extern const char *const prog_names[];

struct instance_options;
struct netdev;

struct instance {
	char pin_dir[MASQ_PIN_DIR_MAX + 8]; /* and "/next", see succeed.h */
	int lock_fd; /* flock on the pin directory */
	int map[MASQ_MAP_COUNT];
	int prog[MASQ_PROG_COUNT]; /* see prog_is_left_out */
	struct masq_meta meta;
	struct masq_prefix *prefixes; /* mmap of masq_prefixes */
	bool writable; /* the prefixes are mapped so */
	bool is_new; /* made by this instance_open */
	bool unsettled; /* not all programs that are hooked are pinned */
	int cpus; /* possible CPUs: values of a per-CPU lookup */
	/* tick <-> time: jiffies at clock_ns, the kernel's CLOCK_MONOTONIC */
	uint64_t clock_ns;
	uint64_t clock_jiffies;
	uint64_t clock_shift_ns; /* ours is another one in a time namespace */
	/* who is asked for another size, see fit.h; NULL: instance_fit */
	int (*fit)(struct instance *instance,
		   const struct instance_options *want, void *data);
	void *fit_data;
	/* who writes what is saved of it, see policy/saved.h; NULL: we do */
	int (*save)(struct instance *instance, void *fit_data);
};

/* One value of an open map. 0 or -errno. */
int map_read(const struct instance *instance, enum masq_map_id map,
	     uint32_t key, void *value);
int map_write(const struct instance *instance, enum masq_map_id map,
	      uint32_t key, const void *value);

/* No map and no program is open here: closes nothing. */
void maps_none(struct instance *instance);
/* Closes maps and programs, and nothing else. */
void maps_close(struct instance *instance);

struct instance_options {
	uint32_t max_flows; /* used when the instance is made */
	uint32_t max_prefixes; /* least number of prefix slots */
	bool ipv6; /* translated: its table is as large as IPv4's */
	bool no_flow_counts; /* flowCounters: false */
	bool fast_path; /* with the programs for the pods' interfaces */
	bool configured; /* all of these are meant; else 0 is "as it is" */
	bool patient; /* waits for the lock as long as it takes */
	/* hook_detach_all, for what is pinned without masq_meta: its hooks go
	 * before its pins do, or nobody would know whose they are */
	int (*unhook)(struct instance *remains, const struct netdev *netdev);
};

#endif
