// SPDX-License-Identifier: GPL-2.0-only
/* health.c - looks at everything that an instance needs to be of use. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/units.h"
#include "kernel/netdev.h"
#include "plane/flows.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/node.h"
#include "plane/other.h"
#include "plane/tally.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/uplinks.h"
#include "report/drift.h"
#include "report/due.h"
#include "report/health.h"
#include "report/rules.h"
#include "takeover/takeover.h"

/* From this share on, new flows may soon be refused. */
#define FLOWS_HIGH_PERCENT 90

const char *health_level_name(enum health_level level)
{
	static const char *const names[] = { "ok", "degraded", "failed" };

	return names[level];
}

static int __attribute__((format(printf, 3, 4)))
problem(struct health *s, enum health_level level, const char *fmt, ...)
{
	char **grown =
		reallocarray(s->problems, s->problem_count + 1, sizeof(*grown));
	va_list ap;
	int n;

	if (!grown)
		return -ENOMEM;
	s->problems = grown;
	va_start(ap, fmt);
	n = vasprintf(&grown[s->problem_count], fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	s->problem_count++;
	if (level > s->level)
		s->level = level;
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

static int count_flow(void *data, const struct flow *flow)
{
	flow_tally_add(data, flow);
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

static int read_flows(struct health *s)
{
	const struct flow_budget *budget;
	uint32_t percent;
	int err = flows_walk_owners(s->instance, count_flow, &s->flows);
	int fullest;

	if (err)
		return err;
	fullest = flow_tally_fullest(s->instance, &s->flows, &percent);
	if (percent < FLOWS_HIGH_PERCENT)
		return 0;
	budget = &flow_budgets[fullest];
	return problem(s, HEALTH_DEGRADED,
		       "the flow table is nearly full: %llu of %u IPv%d %s "
		       "flows; raise maxFlows",
		       (unsigned long long)s->flows.flows[fullest],
		       instance_flows_max(s->instance, budget->family),
		       budget->family, budget->name);
}

static int read_addresses(struct health *s, const struct netdev *netdev,
			  struct health_uplink *u)
{
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

	if (!iface.addr4)
		err = problem(s, HEALTH_DEGRADED,
			      "%s: no IPv4 address to translate to", u->name);
	if (!err && s->ipv6 && !u->addrs[1].family)
		err = problem(s, HEALTH_DEGRADED,
			      "%s: no IPv6 address to translate to", u->name);
	if (!err && (iface.addr4 != now.addr4 ||
		     memcmp(iface.addr6, now.addr6, sizeof(now.addr6))))
		err = problem(s, HEALTH_DEGRADED,
			      "%s: its address has changed since attach: run "
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

/* Ways out that do not go through us. */
static int read_bypasses(struct health *s, const struct netdev *netdev)
{
	struct masq_iface iface;
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && s->policy && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];

		if (uplink_wanted(netdev, s->policy, link) &&
		    !node_uplink(s->instance, link->ifindex, &iface))
			err = problem(s, HEALTH_DEGRADED,
				      "%s: has routes to masqueraded "
				      "destinations and is not attached: run "
				      "masqbpf attach %s",
				      link->name, link->name);
		else if (other_is_blind(s->instance, netdev, link))
			err = problem(
				s, HEALTH_DEGRADED,
				"%s: not attached, and this kernel cannot "
				"watch it: pods' answers to what comes in "
				"by it may be taken for their own flows",
				link->name);
	}
	return err;
}

/* What an agent that is at work could not do yet. */
static int read_due(struct health *s)
{
	char age[32];
	int err = 0;

	for (int kind = 0; kind < MASQ_DUE_MAX && !err; kind++) {
		struct masq_due due;
		double seconds;

		if (due_read(s->instance, kind, &due, &seconds))
			err = problem(s, HEALTH_DEGRADED,
				      "due since %s, the agent tries again: %s",
				      human_age(seconds, age, sizeof(age)),
				      due.text);
	}
	return err;
}

/* Others that translate before us; masqbpf doctor says what to do. */
static int read_foreign(struct health *s)
{
	struct doctor d = { .instance = s->instance, .policy = s->policy };
	int err = 0;

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
	err = err ?: read_bypasses(s, netdev) ?: read_due(s) ?: read_foreign(s);
	free(ifindexes);
	netdev_free(netdev);
	return err;
}

/* --- printing ---------------------------------------------------------- */

int health_read(struct health *s)
{
	int err = read_policy(s) ?: read_uplinks(s) ?: read_config(s) ?:
		  read_flows(s);

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
	for (size_t i = 0; i < s->problem_count; i++)
		free(s->problems[i]);
	free(s->problems);
}
