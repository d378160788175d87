// SPDX-License-Identifier: GPL-2.0-only
/*
 * fastpath.c - see fastpath.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/clock.h"
#include "plane/fastpath.h"
#include "plane/podhook.h"
#include "plane/probe.h"

static const char *const mode_names[] = {
	[FASTPATH_OFF] = "off",
	[FASTPATH_AUTO] = "auto",
	[FASTPATH_ON] = "on",
};

const char *fastpath_mode_name(enum fastpath_mode mode)
{
	return mode_names[mode];
}

bool fastpath_mode_read(const char *text, enum fastpath_mode *mode)
{
	*mode = FASTPATH_ON;
	if (!text || !*text)
		return true;
	for (*mode = FASTPATH_OFF; *mode <= FASTPATH_ON; ++*mode)
		if (!strcmp(text, mode_names[*mode]))
			return true;
	return false;
}

const char *fastpath_lacks(void)
{
	return probe_kernel_memory()
		       ? NULL
		       : "needs programs that may read kernel memory: not under lockdown=confidentiality, nor without CAP_PERFMON";
}

void fastpath_sum_up(const struct fastpath_view *view, struct fastpath_sum *out)
{
	*out = (struct fastpath_sum){};
	snprintf(out->node, sizeof(out->node), "%s", view->node);
	/* uplinks first: they have a name in any case */
	for (size_t k = 0; k < 2 * view->count; k++) {
		const struct fastpath_link *link =
			&view->links[k % view->count];
		bool on = !*view->node && !*link->why;

		if (link->pod != (k >= view->count))
			continue;

		out->pods += link->pod;
		out->pods_on += link->pod && on;
		out->uplinks += !link->pod;
		out->uplinks_on += !link->pod && on;
		if (*link->why && out->named < FASTPATH_NAMED)
			out->off[out->named++] = *link;
	}
}

const char *fastpath_sum_text(const struct fastpath_sum *sum, char *buf,
			      size_t len)
{
	if (*sum->node)
		snprintf(buf, len, "off: %s", sum->node);
	else
		snprintf(buf, len,
			 "on for %u of %u pod interfaces, %u of %u uplinks",
			 sum->pods_on, sum->pods, sum->uplinks_on,
			 sum->uplinks);
	return buf;
}

/* --- what packets read ----------------------------------------------------- */

static int say_unwritten(int err)
{
	log_error("masq_fast: cannot write: %s", caps_strerror(err, CAPS_BPF));
	return err;
}

static int write_entry(const struct instance *instance, uint32_t key,
		       const struct masq_fast *want)
{
	struct masq_fast has;

	if (!map_read(instance, MAP_masq_fast, key, &has) &&
	    !memcmp(&has, want, sizeof(has)))
		return 0;
	return map_write(instance, MAP_masq_fast, key, want);
}

static bool may_be_between(const struct fastpath_view *view, uint32_t ifindex)
{
	for (size_t i = 0; i < view->between_count; i++)
		if (view->between[i].ifindex == ifindex &&
		    !*view->between[i].why)
			return true;
	return false;
}

/* Of those that are in the view as links the entry says both. */
static int write_between(const struct instance *instance,
			 const struct fastpath_view *view)
{
	int err = 0;

	for (size_t i = 0; i < view->between_count && !err; i++) {
		uint32_t ifindex = view->between[i].ifindex;
		struct masq_fast fast = { .flags = MASQ_FAST_BETWEEN };
		bool other = !!*view->between[i].why;

		for (size_t k = 0; k < view->count; k++)
			other |= view->links[k].ifindex == ifindex &&
				 !*view->links[k].why;
		if (!other)
			err = write_entry(instance, ifindex, &fast);
	}
	/* without room pods behind it take the stack */
	return err == -E2BIG ? 0 : err;
}

/* The entries of interfaces that are not among those of the view any more. */
static int drop_others(const struct instance *instance,
		       const struct fastpath_view *view)
{
	int map = instance->map[MAP_masq_fast], err;
	uint32_t key, next, *last = NULL;

	while (!(err = bpf_map_get_next_key(map, last, &next))) {
		bool stays = !next || (view && (next == MASQ_FAST_ASKED ||
						may_be_between(view, next)));

		for (size_t i = 0; view && i < view->count; i++)
			stays |= view->links[i].ifindex == next &&
				 !*view->links[i].why;
		if (!stays && bpf_map_delete_elem(map, &next)) {
			if (errno != ENOENT)
				return -errno;
			last = NULL; /* begins anew */
			continue;
		}
		if (!stays) {
			last = NULL;
			continue;
		}
		key = next;
		last = &key;
	}
	return err == -ENOENT ? 0 : err;
}

static int drop_node(const struct instance *instance)
{
	uint32_t node = 0;
	int err = bpf_map_delete_elem(instance->map[MAP_masq_fast], &node);

	return err == -ENOENT ? 0 : err;
}

static int write_node(const struct instance *instance, uint64_t lease_ns,
		      bool tracked)
{
	struct masq_fast node = { .flags = MASQ_FAST_NODE };

	if (tracked)
		node.flags |= MASQ_FAST_TRACKED;

	if (lease_ns)
		node.until = instance_now(instance) +
			     ns_to_ticks(instance, lease_ns);
	else
		node.flags |= MASQ_FAST_LASTS;
	return map_write(instance, MAP_masq_fast, 0, &node);
}

int fastpath_stop(struct instance *instance)
{
	int err;

	if (instance->map[MAP_masq_fast] < 0)
		return 0;
	/* an entry that says no: who attaches later leaves it so */
	err = map_write(instance, MAP_masq_fast, 0, &(struct masq_fast){})
		      ?: drop_others(instance, NULL);
	return err ? say_unwritten(err) : podhook_detach_all(instance);
}

int fastpath_sync(struct instance *instance, const struct netdev *netdev,
		  uint64_t lease_ns, struct fastpath_view *out)
{
	int err;

	*out = (struct fastpath_view){};
	if (!fastpath_is_on(instance))
		return 0;
	err = fastpath_follow_tcp(instance)
		      ?: fastpath_look(instance, netdev, out);
	/* what could not be looked at is off */
	if (err || *out->node) {
		int gone = drop_node(instance);

		return err ?: gone ? say_unwritten(gone) : 0;
	}
	err = drop_others(instance, out) ?: write_between(instance, out);
	if (err)
		return say_unwritten(err);
	for (size_t i = 0; i < out->count; i++) {
		struct fastpath_link *found = &out->links[i];
		const struct netdev_link *link =
			netdev_by_index(netdev, found->ifindex);
		struct masq_fast fast = { .flags = found->pod
							   ? MASQ_FAST_POD
							   : MASQ_FAST_UPLINK };
		int failed = 0;

		if (may_be_between(out, found->ifindex))
			fast.flags |= MASQ_FAST_BETWEEN;

		if (*found->why || !link)
			continue;
		if (found->pod && !found->hooked)
			failed = podhook_attach(instance, link);
		if (failed) {
			snprintf(found->why, sizeof(found->why),
				 "cannot be hooked: %s", strerror(-failed));
			if (failed != -ENODEV)
				err = failed;
			continue;
		}
		failed = write_entry(instance, found->ifindex, &fast);
		if (failed) {
			snprintf(found->why, sizeof(found->why),
				 "no room for it: %s", strerror(-failed));
			err = failed == -E2BIG ? err : say_unwritten(failed);
		}
	}
	err = err ?: write_node(instance, lease_ns, out->tracked);
	/* without an agent nobody goes on doing it */
	return err ?: lease_ns ? fastpath_serve_tcp(instance) : 0;
}

bool fastpath_lasts(const struct instance *instance)
{
	struct masq_fast node;

	return fastpath_is_on(instance) &&
	       (map_read(instance, MAP_masq_fast, 0, &node) ||
		node.flags & MASQ_FAST_LASTS);
}

bool fastpath_in_force(const struct instance *instance)
{
	struct masq_fast node;

	if (!fastpath_is_on(instance) || instance->map[MAP_masq_fast] < 0 ||
	    map_read(instance, MAP_masq_fast, 0, &node) ||
	    !(node.flags & MASQ_FAST_NODE))
		return false;
	return node.flags & MASQ_FAST_LASTS ||
	       (int32_t)(node.until - instance_now(instance)) > 0;
}

int fastpath_skips(const struct instance *instance,
		   uint64_t skips[MASQ_SKIP_MAX])
{
	uint64_t *each = calloc(instance->cpus, sizeof(*each));
	int err = each ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < MASQ_SKIP_MAX; i++)
		skips[i] = 0;
	for (uint32_t i = 0; i < MASQ_SKIP_MAX && !err; i++) {
		err = map_read(instance, MAP_masq_skips, i, each);
		for (int cpu = 0; cpu < instance->cpus && !err; cpu++)
			skips[i] += each[cpu];
	}
	free(each);
	return err;
}
