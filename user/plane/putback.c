// SPDX-License-Identifier: GPL-2.0-only
/* putback.c - see putback.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/beside.h"
#include "plane/chain.h"
#include "plane/clsact.h"
#include "plane/pindir.h"
#include "plane/pins.h"
#include "plane/podhook.h"
#include "plane/putback.h"

/* One interface's filters: is one an uplink's? The others' notes are made
 * again. */
static int note_filters(const struct instance *instance, uint32_t ifindex,
			bool note, bool *hooked)
{
	int err = 0;

	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		struct hook_chain chain = {};

		err = clsact_chain(instance, ifindex, dir, &chain);
		*hooked |= !err && clsact_is_there(&chain, dir);
		if (!err && note && clsact_pod(instance, &chain))
			err = podhook_note(instance, ifindex);
		if (!err && note && clsact_beside(instance, &chain))
			err = beside_note(instance, ifindex);
		free(chain.progs);
		if (err == -ENODEV)
			err = 0; /* a pod's that has ended since */
	}
	return err;
}

static int each_interface(const struct instance *instance, bool note,
			  bool *hooked)
{
	uint32_t *ifindexes;
	size_t count;
	int err = clsact_links(&ifindexes, &count);

	*hooked = false;
	for (size_t i = 0; i < count && !err; i++)
		err = note_filters(instance, ifindexes[i], note, hooked);
	free(ifindexes);
	return err;
}

/* In the directory that instance->lock_fd is. */
static int pin_again(struct instance *instance)
{
	int there = pin_is_there(instance, map_names[MAP_masq_meta]);
	bool hooked;
	int err = there < 0 ? there : 0;

	if (there)
		return err;
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (i != MAP_masq_meta)
			err = pin_forget(instance, map_names[i])
				      ?: pin_make(instance, instance->map[i],
						  map_names[i]);
	err = err ?: pins_programs(instance)
			     ?: each_interface(instance, true, &hooked)
			     ?: pin_make(instance,
					 instance->map[MAP_masq_meta],
					 map_names[MAP_masq_meta]);
	return err ?: 1;
}

int putback(struct instance *instance)
{
	struct instance fresh = *instance;
	bool hooked;
	int err = each_interface(instance, false, &hooked);

	if (err)
		log_error("%s: cannot know whether filters are left: %s",
			  instance->pin_dir,
			  caps_strerror(err, CAPS_NET_ADMIN));
	if (err || !hooked)
		return err;
	if (!instance_is_gone(instance))
		return pin_again(instance);
	fresh.lock_fd = pindir_open(instance->pin_dir, true, PINDIR_WRITE);
	if (fresh.lock_fd < 0)
		return fresh.lock_fd;
	err = pin_again(&fresh);
	close(fresh.lock_fd);
	return err;
}
