// SPDX-License-Identifier: GPL-2.0-only
/*
 * links.c - the interfaces that are meant to be attached are; the maps
 * know the node's addresses as they are now (gone.c: as they are no more).
 *
 * What the kernel says over netlink only means "look again": the state is
 * read anew each time, so a message that is lost costs nothing but time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include "agent/due.h"
#include "agent/gone.h"
#include "agent/links.h"
#include "agent/sizes.h"
#include "base/log.h"
#include "plane/node.h"
#include "plane/other.h"
#include "policy/read.h"
#include "policy/uplinks.h"
#include "takeover/takeover.h"

/* From a message to the look: more will follow. */
#define SETTLE_MS 100
/* Nobody tells when a pin is removed or a TCX program is replaced. */
#define POLL_MS 5000
/* Whoever has the lock lets go of it soon. */
#define LOCK_AGAIN_MS 500
/* Pods' interfaces that cannot be hooked are tried again. */
#define RETRY_MS 30000

/* --- being told -------------------------------------------------------- */

static int watch(void)
{
	static const int groups[] = { RTNLGRP_LINK,	   RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
				      RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
				      RTNLGRP_IPV6_RULE,   RTNLGRP_TC };
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);
	int err = fd < 0 ? -errno : 0;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		addr.nl_groups |= 1U << (groups[i] - 1);
	if (!err && bind(fd, (void *)&addr, sizeof(addr)))
		err = -errno;
	if (err && fd >= 0)
		close(fd);
	return err ?: fd;
}

/* Without being told it is looked at as often as the poll says. */
static void watch_again(struct agent *a)
{
	int fd = a->netlink_fd >= 0 ? a->netlink_fd : watch();

	if (fd >= 0) {
		a->netlink_fd = fd;
		if (agent_done(a, MASQ_DUE_NETLINK))
			log_info("netlink: changes of interfaces are told "
				 "again");
	} else if (agent_due(a, MASQ_DUE_NETLINK,
			     "changes of interfaces are not told (netlink: "
			     "%s): looked for every %d s",
			     strerror(-fd), POLL_MS / 1000)) {
		log_warn("agent: %s", a->due[MASQ_DUE_NETLINK]);
	}
}

void agent_links_events(struct agent *a)
{
	uint64_t soon = follow_now_ms() + SETTLE_MS;
	char buffer[8192];

	if (soon < a->links_rest_ms)
		soon = a->links_rest_ms;

	/* ENOBUFS: messages were lost, which is a message as well */
	while (recv(a->netlink_fd, buffer, sizeof(buffer), 0) > 0 ||
	       errno == ENOBUFS)
		;
	if (a->links_due_ms > soon)
		a->links_due_ms = soon;
}

/* --- interfaces -------------------------------------------------------- */

static struct agent_link *find_link(struct agent_link *links, size_t count,
				    const char *name, uint32_t ifindex)
{
	for (size_t i = 0; i < count; i++)
		if (ifindex ? links[i].ifindex == ifindex
			    : !links[i].ifindex && !strcmp(links[i].name, name))
			return &links[i];
	return NULL;
}

/* The links that should be, each once; what was known of them stays. */
struct list {
	struct agent *agent;
	struct agent_link *links;
	size_t count;
};

static int add_link(struct list *list, const char *name, uint32_t ifindex)
{
	struct agent_link *grown, *link, *old;

	if (find_link(list->links, list->count, name, ifindex))
		return 0;
	grown = reallocarray(list->links, list->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->links = grown;
	link = &grown[list->count++];
	old = find_link(list->agent->links, list->agent->link_count, name,
			ifindex);
	*link = old ? *old : (struct agent_link){ .kind = HOOK_AUTO };
	link->ifindex = ifindex;
	snprintf(link->name, sizeof(link->name), "%s", name);
	if (old)
		return 0;
	if (!ifindex)
		log_warn("%s: no such interface; it is attached when it comes",
			 name);
	return 0;
}

static int add_auto(struct list *list, const struct netdev *netdev)
{
	struct policy *policy;
	int err = policy_read(list->agent->instance, &policy);

	if (err)
		return err;
	for (size_t i = 0; i < netdev->link_count && !err; i++)
		if (uplink_wanted(netdev, policy, &netdev->links[i]))
			err = add_link(list, netdev->links[i].name,
				       netdev->links[i].ifindex);
	policy_free(policy);
	return err;
}

/* What a part of the command line means now; a port's whole in its place. */
struct wanted {
	struct list *list;
	const struct netdev *netdev;
};

static int add_whole(const struct wanted *w, const struct netdev_link *link)
{
	const struct netdev_link *whole = netdev_whole(w->netdev, link);
	const struct agent *a = w->list->agent;

	if (whole != link &&
	    !find_link(a->links, a->link_count, whole->name, whole->ifindex))
		log_info("%s: a port of %s, which is attached in its place",
			 link->name, whole->name);
	return add_link(w->list, whole->name, whole->ifindex);
}

static int add_uplinks(const struct wanted *w)
{
	uint32_t *uplinks;
	size_t count;
	int err = node_uplinks(w->list->agent->instance, &uplinks, &count);

	if (err)
		return err;
	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_link *link =
			netdev_by_index(w->netdev, uplinks[i]);

		if (link)
			err = add_whole(w, link);
	}
	free(uplinks);
	return err;
}

static int add_part(void *data, const struct names_part *part)
{
	const struct wanted *w = data;
	const struct netdev *netdev = w->netdev;
	struct policy *policy;
	bool found = false;
	int err;

	if (!strcmp(part->name, "auto"))
		return add_auto(w->list, netdev);
	if (part->link)
		return add_whole(w, part->link);
	if (!part->pattern)
		return add_link(w->list, part->name, 0);
	err = policy_read(w->list->agent->instance, &policy);
	if (err)
		return err;
	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		const struct netdev_link *whole = netdev_whole(netdev, link);

		if (!names_match(netdev, part->name, link) ||
		    !uplink_wanted(netdev, policy, whole))
			continue;
		found = true;
		err = add_whole(w, link);
	}
	policy_free(policy);
	/* as a name that is not there: it may come */
	return err || found ? err : add_link(w->list, part->name, 0);
}

static int list_links(struct agent *a, const struct netdev *netdev,
		      struct list *list)
{
	struct wanted wanted = { .list = list, .netdev = netdev };
	int err = 0;

	for (int i = 0; i < a->options.iface_count && !err; i++)
		err = names_each(netdev, a->options.ifaces[i], add_part,
				 &wanted);
	/* attached by somebody else, or before a rename */
	return err ?: add_uplinks(&wanted);
}

/* An uplink has become a port: the whole's hooks are there, its own may go. */
static int let_ports_go(struct agent *a, const struct netdev *netdev)
{
	uint32_t *uplinks;
	size_t count;
	int err = node_uplinks(a->instance, &uplinks, &count);

	if (err)
		return err;
	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_link *link =
			netdev_by_index(netdev, uplinks[i]);
		const struct netdev_link *whole =
			link ? netdev_whole(netdev, link) : NULL;
		const struct agent_link *of =
			whole == link ? NULL
				      : find_link(a->links, a->link_count,
						  whole->name, whole->ifindex);

		if (!of || !of->whole)
			continue;
		err = helper_detach(&a->helper, link)
			      ?: node_del_uplink(a->instance, link->ifindex);
		if (!err)
			log_info("%s: its hooks are %s's now", link->name,
				 whole->name);
	}
	free(uplinks);
	return err;
}

/* Hooks that are missing and flows that are not taken over yet. */
static int make_whole(struct agent *a, const struct netdev *netdev,
		      const struct netdev_link *dev, struct agent_link *link,
		      enum seed_keep keep)
{
	bool seeded = false;
	int err = node_add_uplink(a->instance, netdev, dev);

	link->busy = true;
	err = err ?: helper_attach(&a->helper, dev, &link->kind, keep, &seeded);
	link->busy = false;
	link->whole = !err;
	err = err ?: takeover_done(a->instance, link->ifindex, seeded);
	/* what is not taken over is tried again as well */
	return err ?: keep != SEED_NOTHING && !seeded ? -EAGAIN : 0;
}

static void attach_link(struct agent *a, const struct netdev *netdev,
			struct agent_link *link)
{
	const struct netdev_link *dev = netdev_by_index(netdev, link->ifindex);
	enum hook_kind old = link->kind;
	enum seed_keep keep = SEED_NOTHING;
	uint64_t start = follow_now_ms(), wait;
	bool was_whole = link->whole, hooked;
	int err;

	if (!dev)
		return;
	err = helper_look(&a->helper, dev, &link->kind, &link->whole);
	if (link->kind == HOOK_AUTO)
		link->kind = old; /* as it was hooked before */
	if (err) /* it is not known, and that is all */
		link->whole = was_whole;
	else
		err = takeover_wanted(a->instance, link->ifindex, &keep);
	hooked = link->whole;
	if (!err && hooked && keep == SEED_NOTHING &&
	    node_uplink(a->instance, link->ifindex, &(struct masq_iface){})) {
		link->failures = 0;
		return;
	}
	if (err != -EPIPE && err != -ECANCELED) {
		if (link->failures && start < link->retry_ms)
			return;
		err = err ?: make_whole(a, netdev, dev, link, keep);
	}
	if (err == -EPIPE)
		a->failed = err;
	if (err == -EPIPE || err == -ECANCELED)
		return;
	link->err = err;
	link->failures = err ? link->failures + 1 : 0;
	/* what takes minutes in vain is not all that is done */
	wait = 9 * (follow_now_ms() - start);
	if (wait < agent_backoff_ms(link->failures))
		wait = agent_backoff_ms(link->failures);
	link->retry_ms = follow_now_ms() + wait;
	if (link->whole && (!err || !was_whole))
		log_info("%s: %s (%s)", link->name,
			 !was_whole ? "attached"
			 : hooked   ? "live flows of before are taken over"
				    : "its hooks were removed: attached again",
			 hook_kind_name(link->kind));
}

/* What is due of them, as a line; the helper has said why in the log. */
static void note_links(struct agent *a)
{
	char text[sizeof(a->due[0])] = "";
	size_t used = 0;

	for (size_t i = 0; i < a->link_count && used < sizeof(text) - 1; i++) {
		const struct agent_link *link = &a->links[i];

		if (link->ifindex && link->failures)
			used += snprintf(
				text + used, sizeof(text) - used, "%s%s: %s",
				used ? ", " : "", link->name,
				link->whole ? "live flows of before are not "
					      "taken over"
					    : "cannot be attached");
	}
	if (!*text)
		agent_done(a, MASQ_DUE_INTERFACES);
	else if (agent_due(a, MASQ_DUE_INTERFACES, "%s", text))
		log_warn("agent: %s: tried again", text);
}

/* Interfaces that are not attached, by which flows come in all the same. */
static void watch_others(struct agent *a, const struct netdev *netdev)
{
	int err = other_sync(a->instance, netdev, helper_watch, helper_unwatch,
			     &a->helper);

	if (err == -EPIPE)
		a->failed = err;
}

static bool may_go_on(const struct agent *a)
{
	return !a->failed && !a->stop;
}

static int update(struct agent *a, const struct netdev *netdev)
{
	struct list list = { .agent = a };
	struct gone gone = {};
	int err;

	err = gone_find(a->instance, netdev, &gone) ?: node_sync(a->instance, netdev) ?:
	      list_links(a, netdev, &list);
	if (err) {
		free(list.links);
		goto out;
	}
	free(a->links);
	a->links = list.links;
	a->link_count = list.count;
	/* the first of these has programs of its own */
	if (!(a->instance->meta.features & MASQ_FEAT_L3) &&
	    netdev_has_l3(netdev))
		agent_sizes_want(a);
	/* of all of them, before the first translates anything */
	for (size_t i = 0; i < a->link_count; i++)
		if (a->links[i].ifindex)
			takeover_wanted(a->instance, a->links[i].ifindex,
					&(enum seed_keep){ 0 });
	for (size_t i = 0; i < a->link_count && may_go_on(a); i++)
		attach_link(a, netdev, &a->links[i]);
	note_links(a);
	if (may_go_on(a)) {
		err = let_ports_go(a, netdev);
		if (err == -EPIPE)
			a->failed = err;
	}
	a->fast_due_ms = 0; /* another node now */
	if (may_go_on(a))
		watch_others(a, netdev);
	gone_end_flows(a->instance, &gone);
out:
	free(gone.addrs);
	return err;
}

/* False: somebody else has the lock. */
static bool lock_and_update(struct agent *a)
{
	int err = agent_lock(a);
	bool locked = !err;
	struct netdev *netdev;
	char why[96];

	if (!err)
		err = netdev_read(&netdev);
	if (!err) {
		err = update(a, netdev);
		netdev_free(netdev);
	}
	if (err && !a->failed &&
	    agent_due(a, MASQ_DUE_INTERFACES,
		      "interfaces and addresses are not looked after: %s",
		      agent_why(a, err, why, sizeof(why))))
		log_warn("agent: %s: tried again", a->due[MASQ_DUE_INTERFACES]);
	if (locked)
		instance_unlock(a->instance);
	return err != -EBUSY;
}

void agent_links_update(struct agent *a)
{
	uint64_t start = follow_now_ms(), end;
	bool tried = true;

	if (instance_is_gone(a->instance)) {
		agent_pins_gone(a);
		return;
	}
	/* packets must not meet a dataplane without a policy */
	if (a->has_policy)
		tried = lock_and_update(a);
	watch_again(a);
	/* on a node whose routes never rest, at most a tenth of the time */
	end = follow_now_ms();
	a->links_rest_ms = tried ? end + 9 * (end - start) : end;
	a->links_due_ms = end + (tried ? POLL_MS : LOCK_AGAIN_MS);
	for (size_t i = 0; tried && i < a->link_count; i++)
		if (a->links[i].failures && a->links[i].ifindex &&
		    a->links[i].retry_ms < a->links_due_ms)
			a->links_due_ms = a->links[i].retry_ms;
}
