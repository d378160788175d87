// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_detach.c - removes our hooks, and with the last one the instance.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "kernel/caps.h"
#include "kernel/names.h"
#include "kernel/netdev.h"
#include "kernel/netns.h"
#include "plane/beside.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/node.h"
#include "plane/other.h"
#include "plane/podhook.h"
#include "plane/seed.h"
#include "policy/saved.h"

/*
 * Filters of another network namespace cannot be reached from here. Pinned
 * links can, and when the namespace is gone its filters are too.
 */
static int check_namespace(const struct instance *instance)
{
	char path[PATH_MAX];

	if (!netns_self()) {
		log_error("%s: detach: cannot know in which network namespace "
			  "this is: /proc/self/ns/net: %s",
			  instance->pin_dir, strerror(errno));
		return -ENOENT;
	}
	if (!instance->meta.netns || !instance_is_elsewhere(instance) ||
	    !netns_path(instance->meta.netns, path, sizeof(path)))
		return 0;
	return instance_say_elsewhere(instance);
}

/* The uplinks; none where another layout, or a lost pin, does not tell. */
static int list_uplinks(const struct instance *instance, uint32_t **out,
			size_t *count)
{
	*count = 0;
	return instance->map[MAP_masq_ifaces] < 0
		       ? 0
		       : node_uplinks(instance, out, count);
}

/* When the hooks are gone. (Before, what refuses us refuses the hooks too.) */
static void forget(struct instance *instance, const uint32_t *uplinks,
		   size_t count)
{
	int err = seed_forget(instance, uplinks, count);

	if (err)
		log_warn("conntrack: still has the flows that were translated "
			 "here: %s",
			 caps_strerror(err, CAPS_NET_ADMIN));
}

/* What was detached; NULL among the names: its device is gone. */
static void print_json(const char *const *names, size_t count, bool removed)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "detached");
	for (size_t i = 0; i < count; i++)
		if (names[i])
			json_string(&j, NULL, names[i]);
	json_array_end(&j);
	json_bool(&j, "instance_removed", removed);
	json_object_end(&j);
	json_end(&j);
}

static void print_all(const struct netdev *netdev, const uint32_t *uplinks,
		      size_t count)
{
	const char **names = calloc(count + 1, sizeof(*names));

	for (size_t i = 0; names && i < count; i++) {
		const struct netdev_link *link =
			netdev_by_index(netdev, uplinks[i]);

		names[i] = link ? link->name : NULL;
	}
	print_json(names, names ? count : 0, true);
	free(names);
}

static int detach_all(const struct cmd_line *line)
{
	struct instance *instance = NULL;
	struct netdev *netdev = NULL;
	uint32_t *uplinks = NULL;
	size_t count = 0;
	int err =
		instance_open(line->pin_dir, INSTANCE_REMOVE, NULL, &instance);
	int kept = 0;

	if (err == -ENOENT) {
		log_error("%s: detach: not attached", line->pin_dir);
		/* after a reboot, say: it would come back */
		if (saved_forget(line->pin_dir) > 0)
			log_info("detach: what was saved of before is removed");
	}
	if (!err)
		err = check_namespace(instance);
	if (!err)
		err = netdev_read(&netdev)
			      ?: list_uplinks(instance, &uplinks, &count);
	if (!err) {
		if (instance_is_elsewhere(instance))
			count = 0; /* conntrack is another one here */
		seed_forget(instance, uplinks, count);
		err = hook_detach_all(instance, netdev);
	}
	if (!err)
		forget(instance, uplinks, count);
	if (!err)
		fastpath_restore_tcp(instance);
	if (!err)
		kept = saved_forget(line->pin_dir);
	if (!err)
		err = instance_remove(instance);
	if (!err)
		log_info("detached; the instance is removed");
	if (!err && line->json)
		print_all(netdev, uplinks, count);
	free(uplinks);
	netdev_free(netdev);
	instance_close(instance);
	return err || kept < 0 ? CMD_FAILED : CMD_OK;
}

struct target {
	const struct netdev_link *link; /* NULL: the device is gone */
	char name[NAMES_MAX];
};

/* Was an uplink of this name attached whose device is gone? */
static bool was_uplink(const struct instance *instance,
		       const struct netdev *netdev, const char *name)
{
	uint32_t *uplinks = NULL;
	struct masq_iface iface;
	size_t count = 0;
	bool found = false;

	if (node_uplinks(instance, &uplinks, &count))
		return false;
	for (size_t i = 0; i < count && !found; i++)
		found = !netdev_by_index(netdev, uplinks[i]) &&
			node_uplink(instance, uplinks[i], &iface) > 0 &&
			!strncmp(iface.name, name, sizeof(iface.name));
	free(uplinks);
	return found;
}

/* What is to be detached; of a device that is gone only the name is left. */
struct targets {
	const struct instance *instance;
	const struct netdev *netdev;
	struct target *items;
	size_t count;
};

static int add_target(struct targets *all, const struct netdev_link *link,
		      const char *name)
{
	struct target *grown =
		reallocarray(all->items, all->count + 1, sizeof(*grown));

	if (!grown) {
		log_error("detach: out of memory");
		return -ENOMEM;
	}
	all->items = grown;
	grown = &grown[all->count++];
	*grown = (struct target){ .link = link };
	snprintf(grown->name, sizeof(grown->name), "%s", name);
	return 0;
}

/* Is it attached? < 0: it cannot be found out. */
static int is_attached(const struct targets *all,
		       const struct netdev_link *link)
{
	struct masq_iface iface;
	struct hook_set set;
	int err = hook_find(all->instance, link, &set);

	if (err)
		return err;
	if (hook_set_kind(&set) != HOOK_AUTO)
		return 1;
	return node_uplink(all->instance, link->ifindex, &iface);
}

static int add_matching(struct targets *all, const char *pattern)
{
	size_t before = all->count;

	for (size_t i = 0; i < all->netdev->link_count; i++) {
		const struct netdev_link *link = &all->netdev->links[i];
		int is = names_match(all->netdev, pattern, link)
				 ? is_attached(all, link)
				 : 0;

		if (is > 0)
			is = add_target(all, link, link->name);
		if (is < 0)
			return is;
	}
	if (all->count > before)
		return 0;
	log_error("%s: detach: nothing that matches is attached", pattern);
	return -ENOENT;
}

static int add_part(void *data, const struct names_part *part)
{
	struct targets *all = data;
	const struct netdev_link *link = part->link;
	int is = link ? is_attached(all, link) : 0;

	if (part->pattern)
		return add_matching(all, part->name);
	/* attached in the place of one of its ports */
	if (!is && link && netdev_whole(all->netdev, link) != link) {
		link = netdev_whole(all->netdev, link);
		is = is_attached(all, link);
	}
	if (is < 0)
		return is;
	if (is)
		return add_target(all, link, part->name);
	if (was_uplink(all->instance, all->netdev, part->name))
		return add_target(all, NULL, part->name);
	log_error("%s: detach: %s", part->name,
		  link ? "not attached"
		       : "no such interface; masqbpf status lists the uplinks");
	return link ? -ENOENT : -ENODEV;
}

/* All names are checked before the first hook goes. */
static int find_targets(const struct cmd_line *line, struct targets *all)
{
	int err = 0;

	for (int i = 0; i < line->argc && !err; i++)
		err = names_each(all->netdev, line->argv[i], add_part, all);
	return err;
}

static void print_some(const struct targets *all, bool removed)
{
	const char **names = calloc(all->count + 1, sizeof(*names));

	for (size_t i = 0; names && i < all->count; i++)
		names[i] = all->items[i].name;
	print_json(names, names ? all->count : 0, removed);
	free(names);
}

/* Is there no uplink but these? Those whose device is gone do not count. */
static bool is_all(const struct netdev *netdev, const uint32_t *uplinks,
		   size_t count, const struct targets *targets)
{
	for (size_t i = 0; i < count; i++) {
		bool found = !netdev_by_index(netdev, uplinks[i]);

		for (size_t t = 0; t < targets->count && !found; t++)
			found = targets->items[t].link &&
				targets->items[t].link->ifindex == uplinks[i];
		if (!found)
			return false;
	}
	return true;
}

static int detach_some(const struct cmd_line *line)
{
	struct targets targets = {};
	struct instance *instance = NULL;
	struct netdev *netdev = NULL;
	uint32_t *uplinks = NULL, *before = NULL;
	size_t left = 0, count = 0;
	int kept = 0;
	int err;

	err = cmd_open(line, INSTANCE_WRITE, &instance);
	if (!err && instance_is_elsewhere(instance))
		err = instance_say_elsewhere(instance);
	if (!err)
		err = netdev_read(&netdev);
	targets.instance = instance;
	targets.netdev = netdev;
	if (!err)
		err = find_targets(line, &targets)
			      ?: list_uplinks(instance, &before, &count);
	if (!err && is_all(netdev, before, count, &targets))
		seed_forget(instance, before, count);
	for (size_t i = 0; i < targets.count && !err; i++) {
		const struct netdev_link *link = targets.items[i].link;
		struct hook_set set;

		if (!link) {
			log_info("%s: forgotten; its device is gone",
				 targets.items[i].name);
			continue; /* node_sync does it */
		}
		/* anew: the same name may be given twice */
		err = hook_find(instance, link, &set) ?:
		      hook_detach(instance, link, &set) ?:
		      node_del_uplink(instance, link->ifindex);
		if (!err)
			log_info("%s: detached", link->name);
	}
	/* uplinks whose device is gone do not keep the instance */
	if (!err)
		err = hook_prune(instance) ?: node_sync(instance, netdev) ?:
		      node_uplinks(instance, &uplinks, &left);
	/* what is not attached any more is watched; it is said where not */
	if (!err && left)
		other_sync(instance, netdev, beside_attach, beside_detach,
			   instance);
	else if (!err)
		err = beside_detach_all(instance, netdev)
			      ?: podhook_detach_all(instance);
	if (!err && !left) {
		forget(instance, before, count);
		fastpath_restore_tcp(instance);
		kept = saved_forget(line->pin_dir);
		err = instance_remove(instance);
		if (!err)
			log_info("the instance is removed");
	}
	if (!err && line->json)
		print_some(&targets, !left);
	free(before);
	free(uplinks);
	free(targets.items);
	netdev_free(netdev);
	instance_close(instance);
	return err || kept < 0 ? CMD_FAILED : CMD_OK;
}

static int run(const struct cmd_line *line)
{
	bool all = cmd_flag(line, "all");

	if (all && line->argc)
		return cmd_usage(line, "--all excludes interfaces");
	if (!all && !line->argc)
		return cmd_usage(line, "needs IFACE... or --all");
	cmd_uninterrupted();
	return all ? detach_all(line) : detach_some(line);
}

static const struct cmd_option options[] = {
	{ "all", NULL, "every interface, whatever version attached it" },
	{},
};

const struct cmd cmd_detach = {
	.name = "detach",
	.args = "IFACE... | --all",
	.help = "remove our hooks; the last one removes the instance",
	.max = CMD_ANY,
	.options = options,
	.run = run,
};
