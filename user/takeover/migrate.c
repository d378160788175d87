// SPDX-License-Identifier: GPL-2.0-only
/* migrate.c - until the agent's jump is gone, each step can be taken back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/log.h"
#include "base/tool.h"
#include "config/config.h"
#include "kernel/names.h"
#include "kernel/netdev.h"
#include "plane/seed.h"
#include "policy/author.h"
#include "policy/compare.h"
#include "policy/plan.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/uplinks.h"
#include "takeover/chain.h"
#include "takeover/hold.h"
#include "takeover/jumps.h"
#include "takeover/migrate.h"

/* --- looking ----------------------------------------------------------- */

static int add_uplink(struct migration *m, const struct netdev_link *link)
{
	m->names[m->count] = (char *)link->name;
	m->ifindexes[m->count++] = link->ifindex;
	return 0;
}

/* The policy as attach would make it; only its prefixes are of use here. */
static int make_policy(const struct config *config, struct policy **out)
{
	struct instance nowhere = { .meta.hz = 1000,
				    .meta.max_flows = config->max_flows };

	return policy_from_config(&nowhere, config, false, out);
}

static int add_part(void *data, const struct names_part *part)
{
	struct migration *m = data;
	size_t before = m->count;

	if (part->link)
		add_uplink(m, netdev_whole(m->netdev, part->link));
	for (size_t i = 0; part->pattern && i < m->netdev->link_count; i++)
		if (names_match(m->netdev, part->name, &m->netdev->links[i]) &&
		    uplink_wanted(m->netdev, m->policy, &m->netdev->links[i]))
			add_uplink(m, &m->netdev->links[i]);
	if (part->link || m->count > before)
		return 0;
	log_error(
		"%s: migrate: no such interface%s; ip link lists those of this network namespace",
		part->name,
		part->pattern ? " with a route to what is masqueraded" : "");
	return -ENODEV;
}

static int find_uplinks(struct migration *m)
{
	int err = netdev_read(&m->netdev);

	if (err)
		return err;
	m->names = calloc(m->netdev->link_count + 1, sizeof(*m->names));
	m->ifindexes = calloc(m->netdev->link_count + 1, sizeof(*m->ifindexes));
	if (!m->names || !m->ifindexes)
		return -ENOMEM;
	for (int i = 0; i < m->iface_count && !err; i++)
		err = names_each(m->netdev, m->ifaces[i], add_part, m);
	if (err)
		return err;
	if (m->count)
		return 0;
	for (size_t i = 0; i < m->netdev->link_count; i++)
		if (uplink_wanted(m->netdev, m->policy, &m->netdev->links[i]))
			add_uplink(m, &m->netdev->links[i]);
	if (!m->count) {
		log_error("migrate: no interface has a route to what is "
			  "masqueraded: name one");
		err = -ENODEV;
	}
	return err;
}

/* The policy that runs, if one does. */
static int find_running(struct migration *m)
{
	struct instance *instance;
	int err = instance_open(m->pin_dir, INSTANCE_READ, NULL, &instance);

	if (err)
		return err == -ENOENT ? 0 : err;
	m->was_attached = true;
	if (!m->policy) {
		err = policy_read(instance, &m->policy);
		m->runs = !err;
	}
	instance_close(instance);
	return err == -ENODATA ? 0 : err;
}

/* Where the chain and the policy disagree, said before anything is done. */
static int compare(const struct migration *m)
{
	static const struct instance nowhere = { .meta.hz = 1000 };
	struct policy *chain = NULL;
	char range[CIDR_STRLEN];
	struct plan *plan = NULL;
	int err;

	if (!m->imported)
		return 0;
	err = make_policy(m->imported, &chain)
		      ?: plan_make(&nowhere, chain, m->policy, &plan);
	for (size_t i = 0; !err && i < plan->dests.count; i++) {
		const struct plan_flip *flip = &plan->dests.items[i];

		/* the chain of one family says nothing of the other */
		if (flip->range.addr.family == 6 && !m->imported->ipv6)
			continue;
		log_warn("%s: the chain says %s, the policy %s",
			 cidr_format(&flip->range, range, sizeof(range)),
			 plan_action_name(flip->from.action),
			 plan_action_name(flip->to.action));
	}
	for (size_t i = 0; !err && i < plan->sources.count; i++) {
		const struct plan_flip *flip = &plan->sources.items[i];

		if (flip->range.addr.family == 6 && !m->imported->ipv6)
			continue;
		log_warn("%s as a source: the chain says %s, the policy %s",
			 cidr_format(&flip->range, range, sizeof(range)),
			 plan_action_name(flip->from.action),
			 plan_action_name(flip->to.action));
	}
	plan_free(plan);
	policy_free(chain);
	return err;
}

static int load_config(struct migration *m, const char *file,
		       struct config **config)
{
	size_t length;
	char err[CONFIG_ERRLEN];
	int ret;

	if (strcmp(file, "-")) {
		ret = config_load(file, NULL, config, err, sizeof(err));
	} else {
		ret = file_read(file, &m->given, &length, err, sizeof(err));
		if (!ret)
			ret = config_parse(m->given, length, file, NULL, config,
					   err, sizeof(err));
	}
	if (ret)
		log_errors(err);
	return ret;
}

int migrate_look(struct migration *m)
{
	const char *file = m->file;
	const char *name = m->chain;
	struct config *config;
	int ret;

	if (file) {
		if (load_config(m, file, &config))
			return -EINVAL;
		ret = make_policy(config, &m->policy);
		config_free(config);
		if (ret)
			return -EIO;
	}
	if (masq_chains_find(name, &m->chains))
		return -EIO;
	if (!jumps_count(&m->chains)) {
		log_error("%s: nothing jumps there: ip-masq-agent translates "
			  "nothing here%s",
			  m->chains.items[0].name,
			  hold_is_there() > 0 ? "; masqbpf migrate --finish"
					      : "");
		return -EIO;
	}
	if (find_running(m))
		return -EIO;
	/* only without another policy must a config be able to say it */
	if (masq_chains_config(&m->chains, &m->text, &m->imported)) {
		if (!m->policy)
			return -EIO;
		log_warn(
			"migrate: the chain cannot be compared with the policy that will be in force");
	}
	if (!m->policy && make_policy(m->imported, &m->policy))
		return -EIO;
	return compare(m) || find_uplinks(m) ? -EIO : 0;
}

/* --- the steps --------------------------------------------------------- */

int migrate_attach(struct migration *m)
{
	const char *file = m->file;
	char **argv = calloc(m->count + 8, sizeof(*argv));
	char typed[192];
	const char *input;
	size_t n = 0;
	int err;

	if (!argv)
		return -ENOMEM;
	argv[n++] = TOOL_SELF;
	argv[n++] = "--pin-dir";
	argv[n++] = (char *)m->pin_dir;
	argv[n++] = "attach";
	for (size_t i = 0; i < m->count; i++)
		argv[n++] = m->names[i];
	if (!m->runs) {
		argv[n++] = "--config";
		argv[n++] = file ? (char *)file : "-";
	}
	if (m->runs)
		input = NULL;
	else
		input = file ? m->given : m->text;
	/* for the history: nobody has typed an attach */
	author_command(typed, sizeof(typed));
	setenv(AUTHOR_ENV, typed, 1);
	err = tool_run(argv, input, NULL);
	unsetenv(AUTHOR_ENV);
	free(argv);
	if (err < 0 && err != -EINTR) /* else it has said why, or we shall */
		log_error("migrate: attach cannot be run: %s", tool_why(err));
	return err > 0 ? -EIO : err;
}

static void migrate_detach(const struct migration *m)
{
	char *argv[] = { TOOL_SELF, "--pin-dir", (char *)m->pin_dir,
			 "detach",  "--all",	 NULL };

	int err = tool_run(argv, NULL, NULL);

	if (err < 0)
		log_error("migrate: detach cannot be run: %s; masqbpf detach "
			  "--all is left to do",
			  tool_why(err));
}

int migrate_seed_again(const struct migration *m)
{
	struct instance *instance = NULL;
	int err = instance_open(m->pin_dir, INSTANCE_WRITE, NULL, &instance);

	for (size_t i = 0; i < m->count && !err; i++)
		err = seed_uplink(instance, m->ifindexes[i], SEED_KEEP_POLICY,
				  NULL, NULL);
	instance_close(instance);
	return err;
}

void migrate_undo(struct migration *m)
{
	log_warn("migrate: taking back what was done");
	jumps_put_back(&m->chains, m->removed);
	if (m->attached)
		migrate_detach(m);
	if (m->held)
		hold_remove();
}

/* --- the command ------------------------------------------------------- */

void migrate_free(struct migration *m)
{
	masq_chains_free(&m->chains);
	config_free(m->imported);
	policy_free(m->policy);
	free(m->text);
	free(m->given);
	free(m->names);
	free(m->ifindexes);
	netdev_free(m->netdev);
}
