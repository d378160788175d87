// SPDX-License-Identifier: GPL-2.0-only
/* health.c - looks at everything that an instance needs to be of use. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/log.h"
#include "base/units.h"
#include "kernel/netdev.h"
#include "plane/counters.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/node.h"
#include "plane/other.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/uplinks.h"
#include "report/drift.h"
#include "report/due.h"
#include "report/health.h"
#include "report/rules.h"
#include "takeover/hold.h"
#include "takeover/takeover.h"

const char *health_level_name(enum health_level level)
{
	static const char *const names[] = { "ok", "degraded", "failed" };

	return names[level];
}

/* In the text, what is to be done about it stands behind a newline. */
static int __attribute__((format(printf, 3, 4)))
problem(struct health *s, enum health_level level, const char *fmt, ...)
{
	char *text, *todo;
	va_list ap;
	int n, err;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	todo = strchr(text, '\n');
	if (todo)
		*todo++ = '\0';
	err = verdict_add(&s->verdict, s->what,
			  level == HEALTH_FAILED ? VERDICT_BAD
						 : VERDICT_DEGRADED,
			  todo, "%s", text);
	free(text);
	if (level > s->level)
		s->level = level;
	return err;
}

/* What is wrong, a line each, for those who look at nothing else. */
static int sum_up(struct health *s)
{
	const struct verdict *v = &s->verdict;

	s->problems = calloc(v->count + 1, sizeof(*s->problems));
	if (!s->problems)
		return -ENOMEM;
	for (size_t i = 0; i < v->count; i++) {
		const struct verdict_item *item = &v->items[i];

		if (item->level == VERDICT_OK)
			continue;
		if (asprintf(&s->problems[s->problem_count], "%s%s%s",
			     item->text, item->todo ? ": " : "",
			     item->todo ?: "") < 0)
			return -ENOMEM;
		s->problem_count++;
		if (s->level == HEALTH_OK)
			s->level = HEALTH_DEGRADED;
	}
	return 0;
}

/* --- gathering --------------------------------------------------------- */

static int read_policy(struct health *s)
{
	struct policy *policy;
	int err = policy_read(s->instance, &policy);

	if (err == -ENODATA)
		return problem(s, HEALTH_FAILED,
			       *s->holder ? "no policy yet: %s is at it"
					  : "no policy: an attach was "
					    "interrupted; run it again%s",
			       s->holder);
	if (err)
		return err;
	s->generation = policy->head.generation;
	s->ipv6 = policy->head.flags & MASQ_P_IPV6;
	if (*policy->source.config_path)
		snprintf(s->config, sizeof(s->config), "%s",
			 policy->source.config_path);
	else if (*policy->source.preset)
		snprintf(s->config, sizeof(s->config), "preset %s",
			 policy->source.preset);
	s->policy = policy;
	return 0;
}

static int read_config(struct health *s)
{
	char why[768];

	if (s->policy && config_look(s->instance, s->policy, why,
				     sizeof(why)) != CONFIG_SAME)
		return problem(s, HEALTH_DEGRADED, "%s", why);
	return 0;
}

static int read_addresses(struct health *s, const struct netdev *netdev,
			  struct health_uplink *u)
{
	const struct netdev_link *link = netdev_by_index(netdev, u->ifindex);
	struct masq_iface iface, now;
	int err = 0;

	node_uplink_now(netdev, u->ifindex, &now);
	if (node_uplink(s->instance, u->ifindex, &iface) <= 0)
		iface = now;
	/* with the kernel's own choice at hand, the map is only a fallback */
	if (s->instance->meta.features & MASQ_FEAT_FIB_SRC)
		iface = now;
	if (iface.addr4)
		u->addrs[0] = (struct addr){ 4, { iface.addr4 } };
	u->addrs[1].family = 6;
	memcpy(u->addrs[1].a, iface.addr6, sizeof(iface.addr6));
	if (!(iface.addr6[0] | iface.addr6[1] | iface.addr6[2] |
	      iface.addr6[3]))
		u->addrs[1].family = 0;

	if (!iface.addr4 && uplink_needs(netdev, s->policy, link, 4))
		err = problem(s, HEALTH_DEGRADED,
			      "%s: no IPv4 address to translate to", u->name);
	if (!err && s->ipv6 && !u->addrs[1].family &&
	    uplink_needs(netdev, s->policy, link, 6))
		err = problem(s, HEALTH_DEGRADED,
			      "%s: no IPv6 address to translate to", u->name);
	if (!err && (iface.addr4 != now.addr4 ||
		     memcmp(iface.addr6, now.addr6, sizeof(now.addr6))))
		err = problem(s, HEALTH_DEGRADED,
			      "%s: its address has changed since attach\nrun "
			      "masqbpf attach %s",
			      u->name, u->name);
	return err;
}

static int read_uplink(struct health *s, const struct netdev *netdev,
		       struct health_uplink *u)
{
	const struct netdev_link *link = netdev_by_index(netdev, u->ifindex);
	const struct netdev_link *whole;
	struct hook_set set = {};
	int err;

	u->kind = HOOK_AUTO;
	if (!link) {
		struct masq_iface iface;

		u->gone = true;
		if (node_uplink(s->instance, u->ifindex, &iface) > 0)
			snprintf(u->name, sizeof(u->name), "%.*s",
				 (int)sizeof(iface.name), iface.name);
		return problem(s, HEALTH_FAILED,
			       "%s: its device (number %u) is gone; when it is "
			       "back: masqbpf attach %s; if it stays away: "
			       "masqbpf detach %s",
			       u->name, u->ifindex, u->name, u->name);
	}
	memcpy(u->name, link->name, sizeof(u->name));
	if (link->up && !link->carrier &&
	    (err = problem(s, HEALTH_DEGRADED,
			   "%s: the link is down: nothing leaves by it",
			   u->name)))
		return err;
	if (!link->up && (err = verdict_add(&s->verdict, s->what, VERDICT_OK,
					    NULL, "%s: is set down", u->name)))
		return err;
	whole = netdev_whole(netdev, link);
	if (whole != link &&
	    (err = problem(s, HEALTH_DEGRADED,
			   "%s: a port of %s: frames of others pass its hooks "
			   "and are taken for pods' packets: %s%s",
			   u->name, whole->name,
			   *s->holder ? s->holder : "run masqbpf attach ",
			   *s->holder ? " is at it" : whole->name)))
		return err;
	err = hook_find(s->instance, link, &set);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		err = hook_chain(s->instance, link, dir, &u->chains[dir]);
		if (!err && !set.has[HOOK_TCX][dir] && !set.has[HOOK_TC][dir])
			err = problem(s, HEALTH_FAILED,
				      "%s: the %s hook is missing: %s%s",
				      u->name, hook_dir_name(dir),
				      *s->holder ? s->holder
						 : "run masqbpf attach ",
				      *s->holder ? " is at it" : u->name);
	}
	u->kind = hook_set_kind(&set);
	u->whole = hook_set_whole(&set);
	if (!err && takeover_is_due(s->instance, u->ifindex))
		err = problem(s, HEALTH_DEGRADED,
			      "%s: live flows of before are not taken over: "
			      "%s%s",
			      u->name,
			      s->holder[0] ? s->holder : "run masqbpf attach ",
			      s->holder[0] ? " is at it" : u->name);
	return err ?: read_addresses(s, netdev, u);
}

/* Packets of all prefixes, and of them those that took the fast path. */
static void read_fast_share(struct health *s)
{
	uint64_t skips[MASQ_SKIP_MAX], all[MASQ_SKIP_MAX] = {};
	struct masq_prefix_count *each =
		calloc(s->instance->cpus, sizeof(*each));

	if (!each || fastpath_skips(s->instance, skips))
		goto out;
	for (uint32_t i = 0; i < s->instance->meta.max_prefixes; i++) {
		if (map_read(s->instance, MAP_masq_counters, i, each))
			goto out;
		for (int cpu = 0; cpu < s->instance->cpus; cpu++) {
			all[MASQ_SKIP_OUT] += each[cpu].egress.packets;
			all[MASQ_SKIP_IN] += each[cpu].ingress.packets;
		}
	}
	s->fast_share = fast_share(skips, all);
out:
	free(each);
}

/* Where the fast path is, and where not and why. */
static int read_fast(struct health *s, const struct netdev *netdev)
{
	const char *why = NULL;
	char text[FASTPATH_WHY];
	int err = 0;

	s->fast_share = (struct fast_share){ { -1, -1 } };
	if (fastpath_is_on(s->instance)) {
		err = fastpath_look(s->instance, netdev, &s->fast);
		if (err)
			return err;
	} else {
		snprintf(text, sizeof(text), "off: %s",
			 fastpath_lacks()
				 ?: "--fast-path, or an agent, turns it on");
		why = text;
		s->fast.links =
			calloc(s->uplink_count + 1, sizeof(*s->fast.links));
		if (!s->fast.links)
			return -ENOMEM;
		for (size_t i = 0; i < s->uplink_count; i++)
			snprintf(s->fast.links[s->fast.count++].name, IFNAMSIZ,
				 "%s", s->uplinks[i].name);
	}
	if (!why && *s->fast.node)
		why = s->fast.node;
	if (!why && !fastpath_in_force(s->instance))
		why = "off: no agent has looked after it for three seconds";
	for (size_t i = 0; i < s->fast.count && why; i++)
		snprintf(s->fast.links[i].why, sizeof(s->fast.links[i].why),
			 "%s", why);
	if (fastpath_is_on(s->instance))
		read_fast_share(s);
	return 0;
}

/* Ways out that do not go through us. */
static int read_bypasses(struct health *s, const struct netdev *netdev)
{
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && s->policy && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		const struct netdev_link *by =
			node_hooked(s->instance, netdev, link);
		bool wanted = by != link &&
			      !(by && node_tells_apart(s->instance, link)) &&
			      uplink_wanted(netdev, s->policy, link);

		if (wanted && by)
			err = problem(
				s, HEALTH_DEGRADED,
				"%s: not attached: what leaves by it gets "
				"the address of %s, whose hooks see it\nrun "
				"masqbpf attach %s",
				link->name, by->name, link->name);
		else if (wanted)
			err = problem(s, HEALTH_DEGRADED,
				      "%s: has routes to masqueraded "
				      "destinations and is not attached\nrun "
				      "masqbpf attach %s",
				      link->name, link->name);
		else if (other_is_blind(s->instance, netdev, link))
			err = problem(
				s, HEALTH_DEGRADED,
				"%s: not attached, and not watched: pods' "
				"answers to what comes in by it may be taken "
				"for their own flows",
				link->name);
	}
	return err;
}

/* What an agent that is at work could not do yet. */
static int read_due(struct health *s)
{
	const char *before = s->what;
	char age[32];
	int err = 0;

	s->what = "due";
	for (int kind = 0; kind < MASQ_DUE_MAX && !err; kind++) {
		struct masq_due due;
		double seconds;

		if (due_read(s->instance, kind, &due, &seconds))
			err = problem(s, HEALTH_DEGRADED,
				      "due since %s, the agent tries again: %s",
				      human_age(seconds, age, sizeof(age)),
				      due.text);
	}
	s->what = before;
	return err;
}

/* Others that translate before us; masqbpf doctor says what to do. */
static int read_foreign(struct health *s)
{
	struct doctor d = { .instance = s->instance, .policy = s->policy };
	int err = 0;

	s->what = "foreign-nat";
	rules_judge(&d, NULL);
	for (size_t i = 0; i < d.count && !err; i++)
		if (d.findings[i].level == DOCTOR_BAD ||
		    d.findings[i].level == DOCTOR_UNKNOWN)
			err = problem(s, HEALTH_DEGRADED, "foreign NAT: %s",
				      d.findings[i].what);
	doctor_free_findings(&d);
	return err;
}

static int read_uplinks(struct health *s)
{
	struct netdev *netdev;
	uint32_t *ifindexes = NULL;
	int err;

	if (instance_is_elsewhere(s->instance))
		return instance_say_elsewhere(s->instance);
	err = netdev_read(&netdev);
	if (err)
		return err;
	err = node_uplinks(s->instance, &ifindexes, &s->uplink_count);
	if (!err)
		s->uplinks = calloc(s->uplink_count + 1, sizeof(*s->uplinks));
	if (!s->uplinks)
		s->uplink_count = 0;
	for (size_t i = 0; i < s->uplink_count && !err; i++) {
		s->uplinks[i].ifindex = ifindexes[i];
		err = read_uplink(s, netdev, &s->uplinks[i]);
	}
	if (!err && !s->uplink_count)
		err = problem(s, HEALTH_FAILED,
			      "no interface is attached: an attach or detach "
			      "was interrupted");
	err = err ?: read_fast(s, netdev) ?: read_bypasses(s, netdev) ?:
	      read_due(s) ?: read_foreign(s);
	free(ifindexes);
	netdev_free(netdev);
	return err;
}

static int part(struct health *s, const char *what,
		int (*read)(struct health *s))
{
	s->what = what;
	return read(s);
}

static int read_traffic(struct health *s)
{
	return verdict_traffic(&s->verdict, s->instance);
}

static int read_guard(struct health *s)
{
	return verdict_guard_look(&s->verdict, s->instance);
}

static int read_drift(struct health *s)
{
	return s->policy ? verdict_drift(&s->verdict, s->instance, s->policy)
			 : 0;
}

/* Dropped while we look, which is this long at least. */
#define LOOK_NS 100000000

static int read_memory(struct health *s)
{
	return s->policy ? verdict_policy(&s->verdict, s->instance, s->policy)
			 : 0;
}

static int read_drops(struct health *s)
{
	const struct timespec moment = { .tv_nsec = LOOK_NS };
	uint64_t now[MASQ_S_MAX];
	int err;

	nanosleep(&moment, NULL);
	err = counters_stats(s->instance, now);
	return err ?: verdict_drops(&s->verdict, s->stats, now);
}

static int read_agent(struct health *s)
{
	return verdict_agent(&s->verdict, s->instance);
}

static int read_migration(struct health *s)
{
	if (hold_is_there() <= 0)
		return 0;
	return problem(s, HEALTH_DEGRADED,
		       "a migration from ip-masq-agent is not finished: both "
		       "translate\nmasqbpf migrate --finish");
}

int health_read(struct health *s)
{
	int err = counters_stats(s->instance, s->stats);

	err = err ?: part(s, "policy", read_policy);
	err = err ?: part(s, "policy", read_memory);
	err = err ?: part(s, "guard", read_guard);
	err = err ?: part(s, "flows", read_traffic);
	err = err ?: part(s, "interfaces", read_uplinks);
	err = err ?: part(s, "config", read_config);
	err = err ?: part(s, "drift", read_drift);
	err = err ?: part(s, "migration", read_migration);
	err = err ?: part(s, "drops", read_drops);
	err = err ?: part(s, "agent", read_agent);
	err = err ?: sum_up(s);
	s->flows = s->verdict.flows;
	if (err == -ENOMEM)
		log_error("status: out of memory");
	return err;
}

void health_free(struct health *s)
{
	policy_free(s->policy);
	for (size_t i = 0; i < s->uplink_count; i++)
		for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
			free(s->uplinks[i].chains[dir].progs);
	free(s->uplinks);
	free(s->fast.links);
	for (size_t i = 0; i < s->problem_count; i++)
		free(s->problems[i]);
	free(s->problems);
	verdict_free(&s->verdict);
}
