// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_status.c - what is attached, to what, and whether it is well. This is
 * the place that shows the chains: tools of Debian 12 do not know TCX.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/color.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/status.h"
#include "kernel/netdev.h"
#include "plane/flows.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/node.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/uplinks.h"
#include "report/doctor.h"
#include "report/drift.h"
#include "report/due.h"
#include "takeover/takeover.h"

/* From this share on, new flows may soon be refused. */
#define FLOWS_HIGH_PERCENT 90

enum health {
	HEALTH_OK,
	HEALTH_DEGRADED,
	HEALTH_FAILED
};

struct uplink {
	uint32_t ifindex;
	char name[IFNAMSIZ]; /* the last one, when the device is gone */
	bool gone;
	enum hook_kind kind; /* HOOK_AUTO: neither hook is there */
	bool whole;
	struct addr addrs[2]; /* what is translated to; family 0: none */
	struct hook_chain chains[HOOK_DIRS];
};

struct status {
	struct instance *instance;
	struct policy *policy; /* NULL: none */
	uint32_t generation; /* 0: no policy */
	bool ipv6;
	char config[300]; /* "": none */
	struct uplink *uplinks;
	size_t uplink_count;
	struct flow_tally flows;
	char holder[64]; /* of the lock: somebody changes something; or "" */
	enum health health;
	char **problems;
	size_t problem_count;
};

static const char *health_name(enum health health)
{
	static const char *const names[] = { "ok", "degraded", "failed" };

	return names[health];
}

static int __attribute__((format(printf, 3, 4)))
problem(struct status *s, enum health health, const char *fmt, ...)
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
	if (health > s->health)
		s->health = health;
	return 0;
}

/* --- gathering --------------------------------------------------------- */

static int read_policy(struct status *s)
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

static int read_config(struct status *s)
{
	char why[768];

	if (s->policy && config_look(s->instance, s->policy, why,
				     sizeof(why)) != CONFIG_SAME)
		return problem(s, HEALTH_DEGRADED, "%s", why);
	return 0;
}

static int read_flows(struct status *s)
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

static int read_addresses(struct status *s, const struct netdev *netdev,
			  struct uplink *u)
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

static int read_uplink(struct status *s, const struct netdev *netdev,
		       struct uplink *u)
{
	const struct netdev_link *link = netdev_by_index(netdev, u->ifindex);
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
static int read_bypasses(struct status *s, const struct netdev *netdev)
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
	}
	return err;
}

/* What an agent that is at work could not do yet. */
static int read_due(struct status *s)
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
static int read_foreign(struct status *s)
{
	struct doctor d = { .instance = s->instance, .policy = s->policy };
	int err = 0;

	doctor_check_rules(&d);
	for (size_t i = 0; i < d.count && !err; i++)
		if (d.findings[i].level == DOCTOR_BAD ||
		    d.findings[i].level == DOCTOR_UNKNOWN)
			err = problem(s, HEALTH_DEGRADED, "foreign NAT: %s",
				      d.findings[i].what);
	doctor_free_findings(&d);
	return err;
}

static int read_uplinks(struct status *s)
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

static void status_free(struct status *s)
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

/* --- printing ---------------------------------------------------------- */

static void chain_json(struct json *j, enum hook_dir dir,
		       const struct hook_chain *chain)
{
	json_array(j, hook_dir_name(dir));
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		json_object(j, NULL);
		json_string(j, "hook", hook_kind_name(p->kind));
		if (p->kind == HOOK_TC) {
			json_string(j, "type", p->type);
			json_u64(j, "priority", p->priority);
			json_u64(j, "handle", p->handle);
		}
		if (p->id)
			json_u64(j, "id", p->id);
		else
			json_null(j, "id");
		if (*p->name)
			json_string(j, "name", p->name);
		else
			json_null(j, "name");
		json_bool(j, "ours", p->ours);
		json_object_end(j);
	}
	json_array_end(j);
}

static void print_json(const struct status *s)
{
	char text[CIDR_STRLEN];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", s->generation);
	if (*s->config)
		json_string(&j, "config", s->config);
	else
		json_null(&j, "config");
	json_array(&j, "interfaces");
	for (size_t i = 0; i < s->uplink_count; i++) {
		const struct uplink *u = &s->uplinks[i];

		json_object(&j, NULL);
		json_string(&j, "name", u->name);
		json_u64(&j, "ifindex", u->ifindex);
		if (u->kind == HOOK_AUTO)
			json_null(&j, "hook");
		else
			json_string(&j, "hook", hook_kind_name(u->kind));
		json_bool(&j, "attached", u->whole);
		json_array(&j, "addresses");
		for (int a = 0; a < 2; a++)
			if (u->addrs[a].family)
				json_string(&j, NULL,
					    addr_format(&u->addrs[a], text,
							sizeof(text)));
		json_array_end(&j);
		for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
			chain_json(&j, dir, &u->chains[dir]);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_u64(&j, "flows", s->flows.all);
	json_u64(&j, "flows_max", s->instance->meta.max_flows);
	json_array(&j, "budgets");
	for (int i = 0; i < FLOW_BUDGETS; i++) {
		const struct flow_budget *b = &flow_budgets[i];

		json_object(&j, NULL);
		json_u64(&j, "family", b->family);
		json_string(&j, "action", b->name);
		json_u64(&j, "flows", s->flows.flows[i]);
		json_u64(&j, "max", instance_flows_max(s->instance, b->family));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_string(&j, "health", health_name(s->health));
	json_array(&j, "problems");
	for (size_t i = 0; i < s->problem_count; i++)
		json_string(&j, NULL, s->problems[i]);
	json_array_end(&j);
	json_string(&j, "pin_dir", s->instance->pin_dir);
	json_string(&j, "version", s->instance->meta.version);
	json_object_end(&j);
	json_end(&j);
}

static void print_chain(enum hook_dir dir, const struct hook_chain *chain)
{
	printf("  %-9s", hook_dir_name(dir));
	if (!chain->count)
		printf(" nothing");
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		printf("%s%s %s", i ? " -> " : " ", hook_kind_name(p->kind),
		       p->ours ? color_bold(stdout) : "");
		if (*p->name)
			printf("%s", p->name);
		else
			printf("%s", p->id ? "program" : p->type);
		if (p->id)
			printf("[%u]", p->id);
		printf("%s", p->ours ? color_off(stdout) : "");
	}
	printf("\n");
}

static void print_uplink(const struct uplink *u)
{
	char text[CIDR_STRLEN];
	bool any = false;

	printf("\n%s%s%s (%u): %s\n", color_bold(stdout), u->name,
	       color_off(stdout), u->ifindex,
	       u->gone	  ? "gone"
	       : u->whole ? hook_kind_name(u->kind)
			  : "not attached");
	if (u->gone)
		return;
	printf("  %-9s", "address");
	for (int a = 0; a < 2; a++) {
		if (!u->addrs[a].family)
			continue;
		printf("%s%s", any ? ", " : " ",
		       addr_format(&u->addrs[a], text, sizeof(text)));
		any = true;
	}
	printf("%s\n", any ? "" : " none");
	for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
		print_chain(dir, &u->chains[dir]);
}

static void print_text(const struct status *s)
{
	const char *color = s->health == HEALTH_OK	 ? color_green(stdout)
			    : s->health == HEALTH_FAILED ? color_red(stdout)
							 : color_yellow(stdout);
	char flows[FLOW_TALLY_LEN];

	printf("health      %s%s%s\n", color, health_name(s->health),
	       color_off(stdout));
	for (size_t i = 0; i < s->problem_count; i++)
		printf("            %s\n", s->problems[i]);
	printf("generation  %u\n", s->generation);
	printf("config      %s\n", !*s->config		     ? "none"
				   : !strcmp(s->config, "-") ? "standard input"
							     : s->config);
	printf("flows       %s\n",
	       flow_tally_text(s->instance, &s->flows, flows, sizeof(flows)));
	printf("pins        %s (masqbpf %s)\n", s->instance->pin_dir,
	       s->instance->meta.version);
	for (size_t i = 0; i < s->uplink_count; i++)
		print_uplink(&s->uplinks[i]);
}

static int print(struct status *s, bool json)
{
	int err = read_policy(s) ?: read_uplinks(s) ?: read_config(s) ?:
		  read_flows(s);

	if (err == -ENOMEM)
		log_error("status: out of memory");
	if (!err && json)
		print_json(s);
	else if (!err)
		print_text(s);
	status_free(s);
	return err ? CMD_FAILED : CMD_OK;
}

int status_print(struct instance *instance, bool json)
{
	struct status s = { .instance = instance };

	return print(&s, json);
}

static int run(const struct cmd_line *line)
{
	struct status s = {};
	int result = cmd_open(line, INSTANCE_READ, &s.instance);

	if (result)
		return result;
	/* what is missing may be just about to come */
	if (lock_is_held(s.instance->lock_fd))
		lock_holder(s.instance->lock_fd, s.holder, sizeof(s.holder));
	result = print(&s, line->json);
	instance_close(s.instance);
	return result;
}

const struct cmd cmd_status = {
	.name = "status",
	.args = "",
	.help = "hooks and their chains, addresses, policy, health",
	.run = run,
};
