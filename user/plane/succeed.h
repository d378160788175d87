/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * succeed.h - a dataplane that takes the place of another one under traffic: a
 * version with another layout, another size, other programs. No flow ends.
 *
 * The new one is made beside the old one (directory INSTANCE_NEXT in its pin
 * directory) and shares with it every map that is the same in both: policy,
 * prefixes, counters, history. Its programs read the old flow table where
 * theirs has no answer (bpf/inherit.h), so the hooks can be switched one after
 * the other. Then the old table is walked, programs are put in that know
 * nothing of it, and the new pins take the old ones' names, masq_meta last.
 *
 * Until the first hook is switched nothing has happened, and a process that
 * was killed leaves what the next one removes. From then on there is no way
 * back, and the next one goes on.
 */
#ifndef MASQ_PLANE_SUCCEED_H
#define MASQ_PLANE_SUCCEED_H

#include <stdbool.h>
#include "plane/maps.h"

#define INSTANCE_NEXT "next"

/*
 * What is in the pin directory of *instance, which is locked: 0 an instance of
 * this layout, or none; 1 one that can be taken over from; 2 one that has been
 * taken over from, not to the end; or -errno, printed.
 */
int succeed_needed(const struct instance *instance);

/* Removes the new one, all of it; 0 or -errno. */
int succeed_forget(const struct instance *instance);

/*
 * Takes over. Of *instance only the pin directory and its lock are used;
 * afterwards it can be opened as any other. Options that are not given (0,
 * NULL) stay as they are. 0 or -errno, printed.
 */
int succeed(const struct instance *instance,
	    const struct instance_options *options);

#endif
