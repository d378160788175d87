/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * instance.h - a running dataplane: its pin directory, maps, programs, lock.
 * One instance per network namespace and pin directory.
 */
#ifndef MASQ_INSTANCE_H
#define MASQ_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>
#include "plane/clock.h"
#include "plane/maps.h"

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
/* Is there one, as far as its first pin tells? Without a look at it. */
bool instance_is_pinned(const char *pin_dir);
/* The descriptors of prefixes, in memory; for fit.h. 0 or -errno, printed. */
int instance_map_prefixes(struct instance *instance, bool writable);
void instance_unmap_prefixes(struct instance *instance);
/* For those that stay: others may change what they look at. */
void instance_unlock(const struct instance *instance);
/* Were its pins removed since? Then nothing happens in it any more. */
bool instance_is_gone(const struct instance *instance);
/* Removes every pin; the maps go when the last hook is gone. */
int instance_remove(struct instance *instance);
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

#endif
