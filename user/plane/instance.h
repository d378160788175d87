/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * instance.h - a running dataplane: its pin directory, maps, programs, lock.
 * One instance per network namespace and pin directory.
 */
#ifndef MASQ_INSTANCE_H
#define MASQ_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "masqbpf.h"

#define MASQ_DEFAULT_PIN_DIR "/sys/fs/bpf/masqbpf"
#define MASQ_PIN_DIR_MAX     200
/* In the pin directory: a directory whose lock the agent has. */
#define INSTANCE_AGENT "agent"

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
	M(masq_seeded)    \
	M(masq_due)       \
	M(masq_ifaces)    \
	M(masq_local)     \
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
	P(masq_pod_in)     \
	P(masq_pod_out)    \
	P(masq_ctl)

enum masq_prog_id {
#define P(name) PROG_##name,
	MASQ_PROGS(P)
#undef P
	MASQ_PROG_COUNT,
};

struct instance {
	char pin_dir[MASQ_PIN_DIR_MAX + 1];
	int lock_fd; /* flock on the pin directory */
	int map[MASQ_MAP_COUNT];
	int prog[MASQ_PROG_COUNT];
	struct masq_meta meta;
	struct masq_prefix *prefixes; /* mmap of masq_prefixes */
	bool is_new; /* made by this instance_open */
	int cpus; /* possible CPUs: values of a per-CPU lookup */
	/* tick <-> time: jiffies at clock_ns, the kernel's CLOCK_MONOTONIC */
	uint64_t clock_ns;
	uint64_t clock_jiffies;
	uint64_t clock_shift_ns; /* ours is another one in a time namespace */
};

struct instance_options {
	uint32_t max_flows; /* used when the instance is made */
	uint32_t max_prefixes; /* least number of prefix slots */
	bool ipv6; /* translated: its table is as large as IPv4's */
	bool no_flow_counts; /* flowCounters: false */
	bool fast_path; /* with the programs for the pods' interfaces */
	bool patient; /* waits for the lock as long as it takes */
};

enum instance_mode {
	/* the lock only while it opens; no masq_meta: -ENOENT ("not
	 * attached"), as for the others but MAKE */
	INSTANCE_READ,
	INSTANCE_WRITE, /* holds the lock */
	INSTANCE_MAKE, /* holds it; made and pinned when absent */
	/*
	 * To remove one of whatever layout: holds the lock; programs (-1 where
	 * not pinned), meta (zero in another layout) and in ours the maps that
	 * are there; no clock.
	 */
	INSTANCE_REMOVE,
};

/*
 * Opens (or makes) the instance of pin_dir. 0 or -errno; the error has been
 * printed, except for -ENOENT of all modes but MAKE, where the caller knows
 * what the absence means. Pins are trusted only after owner, map type, sizes
 * and MASQ_ABI were checked. instance_close keeps pins.
 */
int instance_open(const char *pin_dir, enum instance_mode mode,
		  const struct instance_options *options,
		  struct instance **out);
void instance_close(struct instance *instance);
/* For those that stay: others may change what they look at. */
void instance_unlock(const struct instance *instance);
/* Were its pins removed since? Then nothing happens in it any more. */
bool instance_is_gone(const struct instance *instance);
/* Removes every pin; the maps go when the last hook is gone. */
int instance_remove(struct instance *instance);
/* True when instance_open made it just now. */
bool instance_is_new(const struct instance *instance);
/*
 * Is its network namespace another one than ours? Then ifindexes and routes
 * here are not the instance's. instance_open enters it, except with MAKE,
 * so this is true only where it could not find it or was not permitted.
 */
bool instance_is_elsewhere(const struct instance *instance);
/* One error line about that, with the nsenter command; -EXDEV. */
int instance_say_elsewhere(const struct instance *instance);

/*
 * Flows of each budget that there is room for in this family (4 or 6). IPv6 has
 * less room in an instance that was made while it was not translated.
 */
uint32_t instance_flows_max(const struct instance *instance, int family);

/* Runs masq_ctl once; 0, or -errno of the call or of the request itself. */
int instance_ctl(struct instance *instance, struct masq_ctl *request);

/* Time. Ticks are the kernel's (masqbpf.h); both directions round to near. */
uint32_t instance_now(const struct instance *instance); /* current tick */
/* CLOCK_MONOTONIC as the programs see it, whatever our time namespace. */
uint64_t instance_now_ns(const struct instance *instance);
uint32_t ns_to_ticks(const struct instance *instance, uint64_t ns); /* up */
double ticks_to_seconds(const struct instance *instance, int64_t ticks);

#endif
