// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_attach.c - loads or joins the instance and hooks interfaces. All that
 * can be known to be wrong is found before the first change; what fails later
 * is taken back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if_arp.h>
#include "base/log.h"
#include "cli/change.h"
#include "cli/cmd.h"
#include "cli/status.h"
#include "config/config.h"
#include "kernel/names.h"
#include "kernel/netdev.h"
#include "plane/beside.h"
#include "plane/fastpath.h"
#include "plane/fit.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/node.h"
#include "plane/other.h"
#include "plane/podhook.h"
#include "plane/seed.h"
#include "policy/apply.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/saved.h"
#include "policy/uplinks.h"
#include "policy/ward.h"
#include "takeover/takeover.h"

#define DEFAULT_PRESET "ip-masq-agent"

struct uplink {
	const struct netdev_link *link;
	enum hook_kind kind;
	struct hook_set added;
	bool is_new; /* was not in masq_ifaces */
	enum seed_keep keep;
};

struct attach {
	const struct cmd_line *line;
	struct config *config; /* NULL: keep the policy */
	struct netdev *netdev;
	struct instance *instance;
	struct uplink *uplinks;
	size_t count;
	enum hook_kind kind; /* of all of them */
	struct policy *policy; /* that was applied */
	struct policy *from; /* that it took the place of; NULL: none */
	struct policy_change change;
	bool has_policy; /* one runs already */
	bool restored; /* and it is that of before a reboot */
	bool unusable; /* the file is; but a policy of before is known */
	bool applied;
	struct saved *saved; /* NULL: nothing, or nothing that is needed */
	bool looked; /* for it */
	bool unknown; /* whether there is one */
	enum fastpath_mode fast_path;
	bool asked_fast_path; /* the option is there */
	struct fastpath_view fast; /* where it is, and why not elsewhere */
};

static int parse_hook(const struct cmd_line *line, enum hook_kind *kind)
{
	const char *text = cmd_value(line, "hook");

	*kind = HOOK_AUTO;
	for (enum hook_kind k = 0; text && k <= HOOK_AUTO; k++) {
		if (!strcmp(text, hook_kind_name(k))) {
			*kind = k;
			return CMD_OK;
		}
	}
	return text ? cmd_usage(line, "--hook %s: not auto, tcx or tc", text)
		    : CMD_OK;
}

static int parse_fast_path(struct attach *a)
{
	const char *text = cmd_value(a->line, "fast-path");

	a->asked_fast_path = text;
	if (text && !fastpath_mode_read(text, &a->fast_path))
		return cmd_usage(a->line, "--fast-path %s: not auto, on or off",
				 text);
	return CMD_OK;
}

/*
 * After a reboot pods need a policy, and the last one is known: that is put back
 * where the file is of no use.
 */
static int do_without_config(struct attach *a)
{
	config_free(a->config);
	a->config = NULL;
	a->unusable = a->saved;
	return a->saved ? CMD_OK : CMD_USAGE;
}

/* A file that would replace a policy has to set something. */
static int check_config(struct attach *a)
{
	char err[512];

	if (!a->has_policy || !a->config ||
	    !config_may_replace(a->config, err, sizeof(err)))
		return CMD_OK;
	log_error("%s", err);
	return a->restored ? do_without_config(a) : CMD_USAGE;
}

/* The policy that the command line asks for, if it does. */
static int load_config(struct attach *a)
{
	const char *file = cmd_value(a->line, "config");
	const char *preset = cmd_value(a->line, "preset");
	char err[CONFIG_ERRLEN];

	if (file && preset)
		return cmd_usage(a->line,
				 "--config and --preset exclude each other");
	if (file && config_load(file, NULL, &a->config, err, sizeof(err))) {
		log_errors(err);
		return do_without_config(a);
	}
	if (preset && config_preset(preset, &a->config, err, sizeof(err))) {
		log_error("%s", err);
		return CMD_USAGE;
	}
	for (size_t i = 0; a->config && i < a->config->warning_count; i++)
		log_warn("%s", a->config->warnings[i]);
	return CMD_OK;
}

/* A port's packets are the whole's business: its hooks go there. */
static int add_uplink(struct attach *a, const struct netdev_link *link)
{
	const struct netdev_link *whole = netdev_whole(a->netdev, link);
	struct uplink *grown;

	if (whole != link)
		log_warn(
			"%s: attach: a port of %s, which is attached in its place: by %s go frames of others, too",
			link->name, whole->name, link->name);
	for (size_t i = 0; i < a->count; i++)
		if (a->uplinks[i].link == whole)
			return 0;
	grown = reallocarray(a->uplinks, a->count + 1, sizeof(*grown));
	if (!grown) {
		log_error("attach: out of memory");
		return -ENOMEM;
	}
	a->uplinks = grown;
	grown[a->count++] = (struct uplink){ .link = whole, .kind = a->kind };
	return 0;
}

/* Those that match and may be an uplink; none is a mistake. */
static int add_matching(struct attach *a, const char *pattern)
{
	const struct netdev *netdev = a->netdev;
	size_t matching = 0, found = 0;
	int err = 0;

	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];

		if (!names_match(netdev, pattern, link))
			continue;
		matching++;
		if (!uplink_leads_out(netdev, NULL, netdev_whole(netdev, link)))
			continue;
		found++;
		err = add_uplink(a, link);
	}
	if (err || found)
		return err;
	log_error("%s: attach: %s", pattern,
		  matching ? "no route to outside leads by an interface that "
			     "matches; name those that are meant"
			   : "no interface matches; ip link lists those of "
			     "this network namespace");
	return -ENODEV;
}

static int add_part(void *data, const struct names_part *part)
{
	if (part->pattern)
		return add_matching(data, part->name);
	if (!part->link) {
		log_error(
			"%s: attach: no such interface; ip link lists those of this network namespace",
			part->name);
		return -ENODEV;
	}
	if (part->link->type == ARPHRD_LOOPBACK) {
		log_error("%s: attach: the loopback interface: nothing leaves "
			  "the node by it",
			  part->name);
		return -EINVAL;
	}
	return add_uplink(data, part->link);
}

static int find_uplinks(struct attach *a)
{
	int err = netdev_read(&a->netdev) ? -EIO : 0;

	for (int i = 0; i < a->line->argc && !err; i++)
		err = names_each(a->netdev, a->line->argv[i], add_part, a);
	return err;
}

/* Of an uplink that has become a port of one that is attached now. */
static int let_ports_go(struct attach *a)
{
	uint32_t *uplinks = NULL;
	size_t count = 0;
	int err = node_uplinks(a->instance, &uplinks, &count);

	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_link *link =
			netdev_by_index(a->netdev, uplinks[i]);
		const struct netdev_link *whole =
			link ? netdev_whole(a->netdev, link) : NULL;
		struct hook_set set;

		for (size_t k = 0; k < a->count && whole != link; k++) {
			if (a->uplinks[k].link != whole)
				continue;
			err = hook_find(a->instance, link, &set) ?:
			      hook_detach(a->instance, link, &set) ?:
			      node_del_uplink(a->instance, link->ifindex);
			if (!err)
				log_info("%s: its hooks are %s's now",
					 link->name, whole->name);
			break;
		}
	}
	free(uplinks);
	return err;
}

/* What becomes of a policy in force, before anything is changed. */
static int say_flips(struct attach *a)
{
	struct policy *to = NULL;
	int result;

	if (!a->has_policy || !a->config)
		return CMD_OK;
	if (policy_read(a->instance, &a->from) ||
	    policy_from_config(a->instance, a->config, fastpath_tcp_allowed(),
			       &to))
		return CMD_FAILED;
	result = change_say(a->line, a->instance, a->from, to);
	policy_free(to);
	return result;
}

static int apply(struct attach *a)
{
	int err = policy_from_config(a->instance, a->config,
				     fastpath_tcp_allowed(), &a->policy);

	if (err)
		return err;
	err = policy_apply(a->instance, a->policy, &a->change);
	a->applied = !err;
	if (!err)
		ward_begin(a->instance, a->from, a->policy,
			   a->config->guard_window_ns, 0);
	return err;
}

/* Of all uplinks, before the first of them translates anything. */
static int note_uplinks(struct attach *a)
{
	int err = 0;

	for (size_t i = 0; i < a->count && !err; i++) {
		struct uplink *uplink = &a->uplinks[i];
		uint32_t ifindex = uplink->link->ifindex;
		struct masq_iface old;

		err = node_uplink(a->instance, ifindex, &old);
		if (err < 0)
			return err;
		uplink->is_new = !err;
		err = takeover_wanted(a->instance, ifindex, &uplink->keep);
	}
	return err;
}

static int attach_uplink(struct attach *a, struct uplink *uplink)
{
	bool seeded;
	int err = node_add_uplink(a->instance, a->netdev, uplink->link);

	err = err
		      ?: takeover_attach(a->instance, uplink->link,
					 uplink->kind, uplink->keep,
					 &uplink->added, &seeded, NULL, NULL);
	return err ?: takeover_done(a->instance, uplink->link->ifindex, seeded);
}

/*
 * What was added, unless it is in the place of what was there: hooks of another
 * kind have gone by then, and without any, packets would leave as they are.
 */
static void unhook(const struct attach *a, const struct uplink *uplink)
{
	struct hook_set left;

	if (!uplink->is_new) {
		if (hook_find(a->instance, uplink->link, &left))
			return;
		for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
			for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
				left.has[kind][dir] &=
					!uplink->added.has[kind][dir];
		if (!hook_set_whole(&left))
			return;
	}
	hook_detach(a->instance, uplink->link, &uplink->added);
}

static void undo(struct attach *a)
{
	if (a->instance->is_new)
		fastpath_restore_tcp(a->instance);
	for (size_t i = 0; i < a->count; i++) {
		struct uplink *uplink = &a->uplinks[i];

		unhook(a, uplink);
		if (uplink->is_new)
			node_del_uplink(a->instance, uplink->link->ifindex);
	}
	if (!a->instance->is_new)
		return;
	beside_detach_all(a->instance, a->netdev);
	podhook_detach_all(a->instance);
	instance_remove(a->instance);
}

/* Everything that changes the kernel; all of it or nothing. */
static int change(struct attach *a, const struct instance_options *options)
{
	int err = a->instance->is_new ? 0 : instance_want(a->instance, options);

	err = err ?: hook_prune(a->instance);

	if (!err)
		err = node_sync(a->instance, a->netdev);
	/* packets never meet a dataplane without a policy ... */
	if (!err && (!a->has_policy || (a->restored && a->config))) {
		err = apply(a);
		if (err && a->restored)
			err = do_without_config(a);
	}
	if (!err)
		err = note_uplinks(a);
	for (size_t i = 0; i < a->count && !err; i++)
		err = attach_uplink(a, &a->uplinks[i]);
	/* ... and one that runs is not replaced before all else is done */
	if (!err && a->has_policy && !a->restored && a->config)
		err = apply(a);
	/* as it was */
	if (!err && !a->asked_fast_path && fastpath_lasts(a->instance))
		a->fast_path = FASTPATH_ON;
	if (!err && a->fast_path == FASTPATH_ON)
		err = fastpath_sync(a->instance, a->netdev, 0, &a->fast);
	if (!err && a->fast_path == FASTPATH_OFF && a->asked_fast_path)
		err = fastpath_stop(a->instance);
	if (!err)
		err = other_sync(a->instance, a->netdev, beside_attach,
				 beside_detach, a->instance);
	if (err) {
		undo(a);
		return err;
	}
	/* a port whose hooks have gone has the whole's alone: they stay */
	err = let_ports_go(a);
	if (err && a->instance->is_new)
		undo(a);
	return err;
}

/* A policy is needed; when neither the user nor the pins have one: this. */
static int choose_default(struct attach *a)
{
	char text[512];
	int err;

	if (a->config || a->has_policy)
		return 0;
	err = config_preset(DEFAULT_PRESET, &a->config, text, sizeof(text));
	if (err)
		log_error("%s", text);
	else
		log_warn(
			"attach: neither --config nor --preset given: preset " DEFAULT_PRESET
			" (keeps 10.0.0.0/8, 172.16.0.0/12 "
			"and 192.168.0.0/16)");
	return err;
}

static int check_hooks(struct attach *a)
{
	int err = 0;

	for (size_t i = 0; i < a->count && !err; i++)
		err = hook_check(a->instance, a->uplinks[i].link,
				 &a->uplinks[i].kind);
	return err;
}

static int say_no_preset(void)
{
	log_error("attach: no preset is put in its place: run it again, or "
		  "name a policy: --config, --preset");
	return CMD_FAILED;
}

static int find_policy(struct attach *a)
{
	struct policy *policy;
	int err = policy_read(a->instance, &policy);

	if (err == -ENODATA) { /* new, or a killed attach made it */
		if (!a->looked)
			a->saved = saved_read(a->line->pin_dir, &a->unknown);
		if (a->saved && !saved_restore(a->instance, a->saved))
			a->has_policy = a->restored = true;
		/* no preset in the place of a file that was named ... */
		if (a->unusable && !a->restored)
			return -EINVAL;
		/* ... nor of a policy that may lie there still */
		if (a->config || a->restored || !(a->saved || a->unknown))
			return 0;
		say_no_preset();
		return -EINVAL;
	}
	if (err)
		return err;
	policy_free(policy);
	a->has_policy = true;
	return 0;
}

/* What is no uplink does no good, and harm where pods are behind it. */
static void warn_of_odd(const struct attach *a)
{
	struct policy *policy = a->policy;

	if (!policy && policy_read(a->instance, &policy))
		return;
	for (size_t i = 0; i < a->count; i++)
		if (!uplink_leads_out(a->netdev, policy, a->uplinks[i].link))
			log_warn(
				"%s: attach: no route to what is masqueraded leads by it: an uplink is where packets leave the node; if pods are behind it, what comes for them is taken for pods' packets (masqbpf detach %s)",
				a->uplinks[i].link->name,
				a->uplinks[i].link->name);
	if (policy != a->policy)
		policy_free(policy);
}

/* Where it is not, and why: nobody should believe that it is. */
static void say_fast_path(const struct attach *a)
{
	size_t pods = 0;

	if (a->fast_path != FASTPATH_ON)
		return;
	if (*a->fast.node) {
		log_warn("fast path: off: %s", a->fast.node);
		return;
	}
	for (size_t i = 0; i < a->fast.count; i++) {
		const struct fastpath_link *link = &a->fast.links[i];

		if (*link->why)
			log_warn("fast path: %s: off: %s", link->name,
				 link->why);
		else
			pods += link->pod;
	}
	log_info("fast path: %zu pod interfaces; without an agent nobody looks "
		 "at rules and queues that come later",
		 pods);
}

static void summary(const struct attach *a)
{
	char names[256] = "", policy[160];
	size_t used = 0;

	for (size_t i = 0; i < a->count && used < sizeof(names) - 32; i++)
		used += snprintf(names + used, sizeof(names) - used,
				 "%s%s (%s)", i ? ", " : "",
				 a->uplinks[i].link->name,
				 hook_kind_name(a->uplinks[i].kind));
	if (a->applied && !a->from)
		snprintf(policy, sizeof(policy),
			 "generation %u: %zu prefixes, built-in ones included",
			 a->change.generation, a->change.added);
	else if (a->applied)
		snprintf(policy, sizeof(policy),
			 "generation %u: %zu prefixes added, %zu removed, %zu "
			 "changed",
			 a->change.generation, a->change.added,
			 a->change.removed, a->change.changed);
	else
		snprintf(policy, sizeof(policy), "policy as it was");
	log_info("%s: attached; %s", names, policy);
	say_fast_path(a);
}

/* No policy runs: after a reboot the last one is compared with. */
static int dry_run_first(struct attach *a)
{
	struct instance clock;
	struct policy *to = NULL;
	int result;

	if (!a->looked)
		a->saved = saved_read(a->line->pin_dir, &a->unknown);
	if (a->unknown && !a->config)
		return say_no_preset();
	if (!a->saved || saved_policy(a->saved, &a->from, &clock)) {
		log_info("attach: no policy runs here: the first one flips "
			 "nothing");
		return choose_default(a) ? CMD_FAILED : CHANGE_STOP;
	}
	a->has_policy = a->restored = true;
	result = check_config(a);
	if (result || !a->config)
		return result ?: CHANGE_STOP;
	if (policy_from_config(&clock, a->config, fastpath_tcp_allowed(), &to))
		return CMD_FAILED;
	result = change_say(a->line, &clock, a->from, to);
	policy_free(to);
	return result;
}

static int dry_run(struct attach *a)
{
	struct policy *policy;
	int err = instance_open(a->line->pin_dir, INSTANCE_READ, NULL,
				&a->instance);
	int result = CHANGE_STOP;

	if (err && err != -ENOENT)
		return CMD_FAILED;
	err = err ?: policy_read(a->instance, &policy);
	if (!err) {
		policy_free(policy);
		a->has_policy = true;
		result = check_config(a) ?: say_flips(a);
	} else if (err == -ENODATA || err == -ENOENT) {
		result = dry_run_first(a);
	} else {
		return CMD_FAILED;
	}
	if (result > CMD_OK)
		return result;
	if (!a->config || !a->has_policy)
		log_info("dry run: nothing was changed");
	return a->unusable ? CMD_FAILED : CMD_OK;
}

/* With the sizes of before a reboot where the file's are too large. */
static int open_instance(struct attach *a, struct instance_options *options)
{
	const char *pin_dir = a->line->pin_dir;
	int err = instance_open(pin_dir, INSTANCE_MAKE, options, &a->instance);

	if ((err != -ENOMEM && err != -E2BIG) || !a->saved || !a->config)
		return err;
	do_without_config(a);
	*options = (struct instance_options){ .fast_path = options->fast_path,
					      .unhook = hook_detach_all };
	saved_sizes(a->saved, options);
	return instance_open(pin_dir, INSTANCE_MAKE, options, &a->instance);
}

static int run(const struct cmd_line *line)
{
	struct instance_options options = { .unhook = hook_detach_all };
	struct attach a = { .line = line };
	int result, turn = -1;
	const char *lacks;

	for (int i = 0; i < line->argc; i++)
		if (!names_possible(line->argv[i]))
			return cmd_usage(line, NAMES_IMPOSSIBLE, line->argv[i]);
	result = parse_hook(line, &a.kind);
	if (!result)
		result = parse_fast_path(&a);
	/* what pins tell is newer than what was saved of them */
	a.looked = !result && !instance_is_pinned(line->pin_dir);
	if (a.looked)
		a.saved = saved_read(line->pin_dir, &a.unknown);
	if (!result)
		result = load_config(&a);
	if (result)
		goto out;
	result = CMD_FAILED;
	if (find_uplinks(&a))
		goto out;
	if (cmd_flag(line, "dry-run")) {
		result = dry_run(&a);
		goto out;
	}
	if (a.config) {
		options.configured = true;
		options.max_flows = a.config->max_flows;
		options.ipv6 = a.config->ipv6;
		options.no_flow_counts = !a.config->flow_counters;
		options.max_prefixes =
			a.config->keep.count + a.config->masquerade.count +
			a.config->pods.count + a.config->keep_sources.count;
	}
	if (a.saved)
		saved_sizes(a.saved, &options);
	/* on a lease: nothing without an agent that renews it */
	options.fast_path = a.fast_path == FASTPATH_ON;
	lacks = options.fast_path ? fastpath_lacks() : NULL;
	if (lacks) {
		log_error("--fast-path %s", lacks);
		goto out;
	}
	cmd_uninterrupted();
	if (open_instance(&a, &options))
		goto out;
	if (instance_is_elsewhere(a.instance)) {
		instance_say_elsewhere(a.instance);
		if (a.instance->is_new) /* it could not be found out */
			undo(&a);
		goto out;
	}
	turn = hook_turn();
	if (check_hooks(&a) ||
	    (options.fast_path && fastpath_allow_tcp(a.instance)) ||
	    find_policy(&a) || choose_default(&a)) {
		undo(&a);
		goto out;
	}
	result = check_config(&a) ?: say_flips(&a);
	if (result == CMD_FAILED && a.restored)
		result = do_without_config(&a);
	if (result) {
		if (a.instance->is_new)
			undo(&a);
		goto out; /* else it has a policy: there is nothing to undo */
	}
	result = CMD_FAILED;
	if (change(&a, &options))
		goto out;
	if (turn >= 0)
		close(turn);
	turn = -1;
	summary(&a);
	warn_of_odd(&a);
	result = CMD_OK;
	if (a.unusable) {
		log_error("attach: attached with the policy of before, not "
			  "with the file");
		result = CMD_FAILED;
	}
	if (a.applied)
		policy_settle(a.instance, a.policy, &a.change);
	change_save(a.instance);
	/* who reads it may take his time: nobody waits for that */
	instance_unlock(a.instance);
	if (line->json &&
	    status_print(&(struct health){ .instance = a.instance }, true))
		result = CMD_FAILED;
out:
	if (turn >= 0)
		close(turn);
	policy_free(a.policy);
	policy_free(a.from);
	instance_close(a.instance);
	free(a.fast.links);
	netdev_free(a.netdev);
	config_free(a.config);
	saved_free(a.saved);
	free(a.uplinks);
	return result;
}

static const struct cmd_option options[] = {
	{ "config", "FILE", "the policy; a reload when one runs already" },
	{ "preset", "NAME",
	  "a built-in policy: ip-masq-agent (the default), "
	  "reserved, gke-before-1.14" },
	{ "hook", "KIND", "auto (the default), tcx or tc" },
	{ "fast-path", "[auto|on|off]",
	  "established flows skip the node's stack; alone: on; auto: where and "
	  "while an agent finds nothing against it" },
	{ "dry-run", NULL,
	  "say what becomes of the policy that runs, and change nothing" },
	{},
};

const struct cmd cmd_attach = {
	.name = "attach",
	.args = "IFACE...",
	.help = "load the dataplane and hook interfaces",
	.min = 1,
	.max = CMD_ANY,
	.options = options,
	.examples = "  masqbpf attach eth0 --config /etc/masqbpf.yaml\n"
		    "  masqbpf attach eth0 eth1 --preset ip-masq-agent\n",
	.run = run,
};
