// SPDX-License-Identifier: GPL-2.0-only
/*
 * fastpath.c - see fastpath.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/varying.h"
#include "plane/clock.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/node.h"
#include "plane/podhook.h"
#include "plane/probe.h"

#define EBTABLES "/sys/module/ebtables"

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

/* --- what stands against it ------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void against(char *why,
							  const char *fmt, ...)
{
	va_list args;

	if (*why) /* the first is enough */
		return;
	va_start(args, fmt);
	vsnprintf(why, FASTPATH_WHY, fmt, args);
	va_end(args);
}

static void against_other(const struct netdev_link *link, enum hook_dir dir,
			  const struct hook_prog *p, char *why)
{
	const char *dir_name = hook_dir_name(dir);

	if (p->kind == HOOK_TC && !strncmp(p->name, "masq_pod_", 9))
		against(why,
			"another instance's hook, or one whose pins are gone: "
			"tc filter del dev %s %s prio %u handle %#x bpf",
			link->name, dir_name, p->priority, p->handle);
	else
		against(why, "%s on its %s: %s%s%s",
			p->kind == HOOK_TCX ? "a TCX program" : "a tc filter",
			dir_name, *p->name ? p->name : p->type,
			*p->name || *p->type ? "" : "program ",
			*p->name || *p->type ? "" : "of others");
}

/*
 * Programs and filters that a packet of the fast path would not meet, or would
 * meet with other addresses than it has on its way through the stack.
 */
static int look_at_chains(const struct instance *instance,
			  const struct netdev_link *link, bool filter,
			  struct fastpath_link *found)
{
	int err = 0;

	found->hooked = true;
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !*found->why; dir++) {
		struct hook_chain chain;

		err = hook_look(instance, link, dir, &chain);
		if (err)
			break;
		for (size_t i = 0; i < chain.count; i++) {
			/* of ours one too many, for a moment, is seen by the
			 * packets: none has consent then */
			if (!chain.progs[i].ours)
				against_other(link, dir, &chain.progs[i],
					      found->why);
		}
		found->hooked &= podhook_is_whole(instance, link->ifindex,
						  &chain, dir, filter);
		free(chain.progs);
	}
	return err;
}

static int look_at_pod(const struct instance *instance,
		       const struct netdev *netdev,
		       const struct netdev_link *link, bool filter,
		       struct fastpath_link *found)
{
	const struct netdev_link *master =
		link->master ? netdev_by_index(netdev, link->master) : NULL;
	char *why = found->why;
	int err = 0;

	if (!link->up)
		against(why, "it is down");
	if (link->mtu < MASQ_WAY_LEAST4)
		against(why, "its MTU is %u", link->mtu);
	if (!link->afar)
		against(why, "both ends of the pair are on this node");
	if (strcmp(link->qdisc, "noqueue"))
		against(why, "a queue: %s",
			*link->qdisc ? link->qdisc : "unknown");
	if (master && strcmp(master->kind, "bridge"))
		against(why, "a port of %s, which is no bridge", master->name);
	if (master && (!access(EBTABLES, F_OK) || errno != ENOENT))
		against(why,
			"a port of %s, and ebtables, whose rules cannot be "
			"read, is loaded",
			master->name);
	if (!*why)
		err = look_at_chains(instance, link, filter, found);
	if (!err && !*why && filter && !found->hooked)
		err = podhook_lacks(link, why, FASTPATH_WHY);
	return err;
}

/* Queues that treat packets of one flow alike and lose none by their rate. */
static bool is_usual_queue(const char *qdisc)
{
	static const char *const usual[] = { "noqueue", "mq", "pfifo_fast",
					     "fq_codel", "fq" };

	for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		if (!strcmp(qdisc, usual[i]))
			return true;
	return false;
}

static int look_at_uplink(const struct instance *instance,
			  const struct netdev_link *link,
			  struct fastpath_link *found)
{
	char *why = found->why;

	if (!netdev_is_ethernet(link))
		against(why, "its packets have no Ethernet header");
	if (link->mtu < MASQ_WAY_LEAST4)
		against(why, "its MTU is %u", link->mtu);
	if (!is_usual_queue(link->qdisc))
		against(why, "a queue: %s",
			*link->qdisc ? link->qdisc : "unknown");
	return *why ? 0 : look_at_chains(instance, link, false, found);
}

/* Packets up to MASQ_WAY_LEAST4 are taken for equally large. */
static void look_at_routes(const struct netdev *netdev, char *why)
{
	for (size_t i = 0; i < netdev->route_count; i++) {
		const struct netdev_route *route = &netdev->routes[i];

		if (route->dst.addr.family == 4 && route->mtu &&
		    route->mtu < MASQ_WAY_LEAST4)
			against(why, "a route with an MTU of %u", route->mtu);
	}
}

int fastpath_look(const struct instance *instance, const struct netdev *netdev,
		  struct fastpath_view *out)
{
	bool filter = podhook_by_filter(instance);
	uint32_t *uplinks;
	size_t count;
	int err;

	*out = (struct fastpath_view){};
	err = node_uplinks(instance, &uplinks, &count);
	if (err)
		return err;
	out->links = calloc(netdev->link_count + 1, sizeof(*out->links));
	if (!out->links) {
		log_error("fast path: out of memory");
		err = -ENOMEM;
	}
	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		struct fastpath_link *found = &out->links[out->count];
		bool uplink = false;

		for (size_t j = 0; j < count; j++)
			uplink |= uplinks[j] == link->ifindex;
		if (!uplink && strcmp(link->kind, "veth"))
			continue;
		found->ifindex = link->ifindex;
		snprintf(found->name, sizeof(found->name), "%s", link->name);
		found->pod = !uplink;
		err = uplink ? look_at_uplink(instance, link, found)
			     : look_at_pod(instance, netdev, link, filter,
					   found);
		if (err == -ENODEV) { /* it has just gone */
			*found = (struct fastpath_link){};
			err = 0;
			continue;
		}
		out->count++;
	}
	free(uplinks);
	if (err)
		return err;
	look_at_routes(netdev, out->node);
	if (*out->node)
		return 0;
	switch (varying_find(out->node, sizeof(out->node))) {
	case 0:
	case 1:
		return 0;
	default:
		against(out->node, "netfilter's rules cannot be read");
		return 0;
	}
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

/* The entries of interfaces that are not among those of the view any more. */
static int drop_others(const struct instance *instance,
		       const struct fastpath_view *view)
{
	int map = instance->map[MAP_masq_fast], err;
	uint32_t key, next, *last = NULL;

	while (!(err = bpf_map_get_next_key(map, last, &next))) {
		bool stays = !next || (view && next == MASQ_FAST_ASKED);

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

static int write_node(const struct instance *instance, uint64_t lease_ns)
{
	struct masq_fast node = { .flags = MASQ_FAST_NODE };

	if (lease_ns)
		node.until = instance_now(instance) +
			     ns_to_ticks(instance, lease_ns);
	else
		node.flags |= MASQ_FAST_LASTS;
	return map_write(instance, MAP_masq_fast, 0, &node);
}

int fastpath_renew(struct instance *instance, uint64_t lease_ns)
{
	struct masq_fast node;

	if (!fastpath_is_on(instance) ||
	    map_read(instance, MAP_masq_fast, 0, &node))
		return 0; /* nothing to renew */
	return write_node(instance, lease_ns);
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
	err = drop_others(instance, out);
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

		if (*found->why || !link)
			continue;
		if (found->pod && !found->hooked)
			failed = podhook_attach(instance, link);
		if (failed) {
			against(found->why, "cannot be hooked: %s",
				strerror(-failed));
			if (failed != -ENODEV)
				err = failed;
			continue;
		}
		failed = write_entry(instance, found->ifindex, &fast);
		if (failed) {
			against(found->why, "no room for it: %s",
				strerror(-failed));
			err = failed == -E2BIG ? err : say_unwritten(failed);
		}
	}
	err = err ?: write_node(instance, lease_ns);
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
