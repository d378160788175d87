/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fastpath.h - on which interfaces the fast path may be, and why not on others;
 * its hooks on the pods' interfaces, and what the packets read of it
 * (masq_fast). bpf/fast.h has the path itself, docs/fastpath.md what can stand
 * against it.
 */
#ifndef MASQ_FASTPATH_H
#define MASQ_FASTPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/fastpath_tcp.h"
#include "plane/instance.h"

#define FASTPATH_WHY 192

enum fastpath_mode {
	FASTPATH_OFF,
	FASTPATH_AUTO, /* on a lease, and no sysctl is changed */
	FASTPATH_ON,
};
/* "off", "auto", "on" */
const char *fastpath_mode_name(enum fastpath_mode mode);
/* NULL is "on", as the option without a value. False: none of them. */
bool fastpath_mode_read(const char *text, enum fastpath_mode *mode);

struct fastpath_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	bool pod; /* else an uplink */
	bool hooked; /* a pod's: nothing to add or to take off */
	char why[FASTPATH_WHY]; /* not; "": it may */
};

/* What was found; the caller frees `links`. */
struct fastpath_view {
	char node[FASTPATH_WHY]; /* why nowhere; "": by links */
	bool tracked; /* only for what conntrack calls established */
	struct fastpath_link *links; /* uplinks and pods' interfaces */
	size_t count;
	/* what may be between these and the stack; of the same memory */
	struct fastpath_link *between;
	size_t between_count;
};

/* The same in short, of a fixed size. */
#define FASTPATH_NAMED 32
struct fastpath_sum {
	char node[FASTPATH_WHY];
	uint32_t pods, pods_on; /* pods' interfaces */
	uint32_t uplinks, uplinks_on;
	uint32_t named; /* of those where it is off */
	struct fastpath_link off[FASTPATH_NAMED];
};
void fastpath_sum_up(const struct fastpath_view *view,
		     struct fastpath_sum *out);
/* "on for 2 of 3 pod interfaces, 1 of 1 uplinks", or why not; returns buf. */
const char *fastpath_sum_text(const struct fastpath_sum *sum, char *buf,
			      size_t len);

/* Was this instance made with --fast-path? */
static inline bool fastpath_is_on(const struct instance *instance)
{
	return instance->meta.features & MASQ_FEAT_FAST;
}

/*
 * Why the kernel has not got what the fast path needs; NULL: it has. Text of
 * its own, for people.
 */
const char *fastpath_lacks(void);

/*
 * Looks, and changes nothing: every uplink, and every veth that is none, with
 * what stands against it; and what stands against all of them (netfilter's
 * rules). 0 or -errno, printed.
 */
int fastpath_look(const struct instance *instance, const struct netdev *netdev,
		  struct fastpath_view *out);
/*
 * Looks, hooks the pods' interfaces on which it may be, and writes what packets
 * read. `lease_ns`: for how long, 0: until somebody says otherwise. Does
 * nothing without the fast path. 0 or -errno, printed; *out as by
 * fastpath_look, also then.
 */
int fastpath_sync(struct instance *instance, const struct netdev *netdev,
		  uint64_t lease_ns, struct fastpath_view *out);
/* Off: packets take the stack at once. 0 or -errno, printed. */
int fastpath_stop(struct instance *instance);

/* Was it asked for without an agent, by this version or by one before? */
bool fastpath_lasts(const struct instance *instance);
/* Is it on just now? False also when the lease has run out. */
bool fastpath_in_force(const struct instance *instance);
/* Packets that took it since the instance was made, out and in. 0, -errno. */
int fastpath_skips(const struct instance *instance,
		   uint64_t skips[MASQ_SKIP_MAX]);

#endif
