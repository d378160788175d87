// SPDX-License-Identifier: GPL-2.0-only
/*
 * takeover.c - what an uplink takes over is decided when it is attached for
 * the first time and stays so until it is done, whoever does it: conntrack
 * sees what we translate as not translated, so all of it may only be kept
 * where nothing can have been translated yet.
 */
#include <errno.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "takeover/takeover.h"

/* In masq_seeded: of the whole instance. No link has this number. */
#define WHOLE 0

static int say(const char *what, int err)
{
	if (err)
		log_error("masq_seeded: cannot %s: %s", what,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

/* 1: *out is what is noted; 0: nothing is; -errno, printed. */
static int look(const struct instance *instance, uint32_t ifindex,
		struct masq_seeded *out)
{
	int err = bpf_map_lookup_elem(instance->map[MAP_masq_seeded], &ifindex,
				      out);

	if (err == -ENOENT)
		return 0;
	return say("read", err) ?: 1;
}

static int note(const struct instance *instance, uint32_t ifindex,
		const struct masq_seeded *seeded)
{
	return say("write", bpf_map_update_elem(instance->map[MAP_masq_seeded],
						&ifindex, seeded, BPF_ANY));
}

int takeover_wanted(struct instance *instance, uint32_t ifindex,
		    enum seed_keep *out)
{
	struct masq_seeded own, whole;
	int known = look(instance, ifindex, &own);

	if (known < 0)
		return known;
	if (known) {
		*out = own.done ? SEED_NOTHING : own.keep;
		return 0;
	}
	known = look(instance, WHOLE, &whole);
	if (known < 0)
		return known;
	*out = known ? SEED_KEEP_POLICY : SEED_KEEP_ALL;
	own = (struct masq_seeded){ .keep = *out };
	return note(instance, ifindex, &own);
}

struct seeding {
	struct instance *instance;
	uint32_t ifindex;
	enum seed_keep keep;
	bool (*stop)(void *data);
	void *data;
	int err;
};

/* Only what ends the attach is an error. */
static int seed(void *data)
{
	struct seeding *s = data;

	s->err =
		seed_uplink(s->instance, s->ifindex, s->keep, s->stop, s->data);
	return s->err == -ECANCELED ? s->err : 0;
}

int takeover_attach(struct instance *instance, const struct netdev_link *link,
		    enum hook_kind kind, enum seed_keep keep,
		    struct hook_set *added, bool *seeded,
		    bool (*stop)(void *data), void *data)
{
	struct seeding s = { .instance = instance,
			     .ifindex = link->ifindex,
			     .keep = keep,
			     .stop = stop,
			     .data = data };
	struct hook_set set;
	int err;

	*added = (struct hook_set){};
	*seeded = false;
	err = hook_find(instance, link, &set);
	if (err)
		return err;
	/* egress has judged already, and what it translates is no flow of old */
	if (keep == SEED_KEEP_ALL &&
	    (set.has[HOOK_TCX][HOOK_EGRESS] || set.has[HOOK_TC][HOOK_EGRESS]))
		s.keep = SEED_KEEP_POLICY;
	err = hook_attach(instance, link, kind, added,
			  keep == SEED_NOTHING ? NULL : seed, &s);
	*seeded = !err && !s.err;
	return err;
}

int takeover_done(struct instance *instance, uint32_t ifindex, bool seeded)
{
	const struct masq_seeded done = { .done = 1 };
	int err = note(instance, WHOLE, &done);

	if (!err && seeded)
		err = note(instance, ifindex, &done);
	return err;
}

bool takeover_is_due(const struct instance *instance, uint32_t ifindex)
{
	struct masq_seeded own;

	return look(instance, ifindex, &own) > 0 && !own.done;
}
