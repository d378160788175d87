// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_migrate.c - takes over from ip-masq-agent with no connection lost. Every
 * step says what it does; until the agent's jump is gone, each can be taken
 * back. From then on new flows are ours, and netfilter only goes on with what
 * it has begun.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/tool.h"
#include "cli/cmd.h"
#include "config/config.h"
#include "kernel/netdev.h"
#include "kernel/netns.h"
#include "plane/node.h"
#include "plane/seed.h"
#include "policy/compare.h"
#include "policy/plan.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "policy/uplinks.h"
#include "takeover/chain.h"
#include "takeover/hold.h"

#define LOOK_S 2 /* between looks at what netfilter still translates */

struct migration {
	const struct cmd_line *line;
	struct masq_chains chains;
	struct config *imported; /* what the chain says; NULL: cannot be said */
	char *text; /* of `imported` */
	char *given; /* of --config -, which can be read but once */
	struct policy *policy; /* that will be in force */
	bool runs; /* it is already, and stays */
	struct netdev *netdev;
	char **names; /* uplinks; ours to free only as an array */
	uint32_t *ifindexes;
	size_t count;
	size_t removed; /* jumps */
	bool was_attached, held, attached;
	unsigned int step;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void __attribute__((format(printf, 2, 3)))
say(struct migration *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("%s%u. ", cmd_flag(m->line, "dry-run") ? "would: " : "",
	       ++m->step);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
}

/* The lock's file as root made it, or -errno. */
static int open_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & (S_IRWXG | S_IRWXO)))
		return fd;
	close(fd);
	return -EPERM;
}

/*
 * Two at once would undo each other's steps. The lock belongs to the network
 * namespace, as the rules do, and lies where only root can make or open it; it
 * goes with the process. The file stays, with nothing in it.
 */
static bool be_alone(int *lock)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/run/masqbpf-migrate-%llu",
		 (unsigned long long)netns_self());
	fd = open_lock(path);
	err = fd < 0 ? fd : lock_take(fd, 0);
	*lock = fd;
	if (!err)
		return true;
	if (err == -EROFS || err == -ENOENT) { /* a container without /run */
		log_warn("migrate: another one at the same time would not be "
			 "noticed: %s: %s",
			 path, strerror(-err));
		return true;
	}
	if (err == -EBUSY)
		log_error("migrate: another one is at work here");
	else
		log_error("migrate: cannot be sure to be the only one: %s: %s",
			  path, strerror(-err));
	return false;
}

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

static int find_uplinks(struct migration *m)
{
	int err = netdev_read(&m->netdev);

	if (err)
		return err;
	m->names = calloc(m->netdev->link_count + 1, sizeof(*m->names));
	m->ifindexes = calloc(m->netdev->link_count + 1, sizeof(*m->ifindexes));
	if (!m->names || !m->ifindexes)
		return -ENOMEM;
	for (int i = 0; i < m->line->argc; i++) {
		const struct netdev_link *link =
			netdev_by_name(m->netdev, m->line->argv[i]);

		if (!link) {
			log_error(
				"%s: migrate: no such interface; ip link lists those of this network namespace",
				m->line->argv[i]);
			return -ENODEV;
		}
		if (m->count < m->netdev->link_count)
			add_uplink(m, link);
	}
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

static size_t count_jumps(const struct masq_chains *chains)
{
	size_t jumps = 0;

	for (size_t i = 0; i < chains->count; i++)
		jumps += chains->items[i].jump_count;
	return jumps;
}

/* The policy that runs, if one does. */
static int find_running(struct migration *m)
{
	struct instance *instance;
	int err =
		instance_open(m->line->pin_dir, INSTANCE_READ, NULL, &instance);

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
	char err[512];
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
		log_error("%s", err);
	return ret;
}

static int look(struct migration *m)
{
	const char *file = cmd_value(m->line, "config");
	const char *name = cmd_value(m->line, "chain");
	struct config *config;
	int ret;

	if (file) {
		if (load_config(m, file, &config))
			return CMD_USAGE;
		ret = make_policy(config, &m->policy);
		config_free(config);
		if (ret)
			return CMD_FAILED;
	}
	if (masq_chains_find(name, &m->chains))
		return CMD_FAILED;
	if (!count_jumps(&m->chains)) {
		log_error("%s: nothing jumps there: ip-masq-agent translates "
			  "nothing here%s",
			  m->chains.items[0].name,
			  hold_is_there() > 0 ? "; masqbpf migrate --finish"
					      : "");
		return CMD_FAILED;
	}
	if (find_running(m))
		return CMD_FAILED;
	/* only without another policy must a config be able to say it */
	if (masq_chains_config(&m->chains, &m->text, &m->imported)) {
		if (!m->policy)
			return CMD_FAILED;
		log_warn(
			"migrate: the chain cannot be compared with the policy that will be in force");
	}
	if (!m->policy && make_policy(m->imported, &m->policy))
		return CMD_FAILED;
	return compare(m) || find_uplinks(m) ? CMD_FAILED : CMD_OK;
}

/* --- the steps --------------------------------------------------------- */

/* The same attach as everybody's, by its command line. */
static int attach(struct migration *m)
{
	const char *file = cmd_value(m->line, "config");
	char **argv = calloc(m->count + 8, sizeof(*argv));
	const char *input;
	size_t n = 0;
	int err;

	if (!argv)
		return -ENOMEM;
	argv[n++] = "/proc/self/exe";
	argv[n++] = "--pin-dir";
	argv[n++] = (char *)m->line->pin_dir;
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
	err = tool_run(argv, input, NULL);
	free(argv);
	return err > 0 ? -EIO : err;
}

static void detach(const struct migration *m)
{
	char *argv[] = {
		"/proc/self/exe", "--pin-dir", (char *)m->line->pin_dir,
		"detach",	  "--all",     NULL
	};

	tool_run(argv, NULL, NULL);
}

/* iptables ... VERB POSTROUTING [NUMBER] the rule's own words */
static int change_jump(const struct masq_chain *chain,
		       const struct chain_rule *jump, bool back)
{
	char *argv[MASQ_CHAIN_WORDS + 10], number[16];
	size_t n = 0;
	int err;

	argv[n++] = (char *)chain->tool;
	argv[n++] = "-w";
	argv[n++] = "10";
	argv[n++] = "-t";
	argv[n++] = "nat";
	argv[n++] = back ? "-I" : "-D";
	argv[n++] = jump->words[1];
	snprintf(number, sizeof(number), "%u", jump->number);
	if (back)
		argv[n++] = number;
	for (size_t i = 2; i < jump->count; i++)
		argv[n++] = jump->words[i];
	argv[n] = NULL;
	err = tool_run(argv, NULL, NULL);
	if (err)
		log_error("%s: cannot %s the jump to %s: %s", chain->tool,
			  back ? "put back" : "remove", chain->name,
			  err < 0 ? strerror(-err) : "see above");
	return err;
}

/* From the last of a chain to its first, so that numbers stay true. */
static int remove_jumps(struct migration *m)
{
	int err = 0;

	for (size_t c = 0; c < m->chains.count; c++) {
		const struct masq_chain *chain = &m->chains.items[c];

		for (size_t i = chain->jump_count; i-- && !err;) {
			err = change_jump(chain, &chain->jumps[i], false);
			m->removed += !err;
		}
	}
	return err;
}

static size_t jumps_now(const struct masq_chain *chain)
{
	struct masq_chains now;
	size_t count = 0;

	if (masq_chains_find(chain->name, &now))
		return 0;
	for (size_t i = 0; i < now.count; i++)
		if (!strcmp(now.items[i].tool, chain->tool))
			count = now.items[i].jump_count;
	masq_chains_free(&now);
	return count;
}

/* Those that were removed, in reverse; not where an agent was faster. */
static void put_jumps_back(struct migration *m)
{
	size_t left = m->removed;

	for (size_t c = 0; c < m->chains.count && left; c++) {
		const struct masq_chain *chain = &m->chains.items[c];
		size_t first =
			left < chain->jump_count ? chain->jump_count - left : 0;

		left -= chain->jump_count - first;
		if (jumps_now(chain) > first)
			continue;
		for (size_t i = first; i < chain->jump_count; i++)
			change_jump(chain, &chain->jumps[i], true);
	}
}

/* What netfilter took on between attach and the jump's end. */
static int seed_again(const struct migration *m)
{
	struct instance *instance = NULL;
	int err = instance_open(m->line->pin_dir, INSTANCE_WRITE, NULL,
				&instance);

	for (size_t i = 0; i < m->count && !err; i++)
		err = seed_uplink(instance, m->ifindexes[i], SEED_KEEP_POLICY,
				  NULL, NULL);
	instance_close(instance);
	return err;
}

static int verify(const struct migration *m)
{
	struct masq_chains now;
	size_t jumps;
	int err = masq_chains_find(m->chains.items[0].name, &now);

	if (err)
		return err == -ENOENT ? 0 : err;
	jumps = count_jumps(&now);
	masq_chains_free(&now);
	if (!jumps)
		return 0;
	log_error("%s: the jump is back: ip-masq-agent runs still; stop it "
		  "(kubectl -n kube-system delete daemonset ip-masq-agent)",
		  m->chains.items[0].name);
	return -EEXIST;
}

static void undo(struct migration *m)
{
	log_warn("migrate: taking back what was done");
	put_jumps_back(m);
	if (m->attached)
		detach(m);
	if (m->held)
		hold_remove();
}

/* --- waiting ----------------------------------------------------------- */

/* Every uplink of the instance, also those of earlier attaches. */
static long still_translated(const struct cmd_line *line)
{
	struct instance *instance;
	uint32_t *ifindexes;
	size_t count;
	long flows;

	if (cmd_open(line, INSTANCE_READ, &instance))
		return -ENOENT;
	flows = node_uplinks(instance, &ifindexes, &count);
	instance_close(instance);
	if (!flows) {
		flows = seed_translated(ifindexes, count);
		free(ifindexes);
	}
	if (flows < 0)
		log_error("conntrack: cannot count what netfilter still "
			  "translates: %s",
			  strerror(-flows));
	return flows;
}

static void say_translated(long flows, bool waiting)
{
	if (flows < 0)
		return; /* said why */
	printf("   netfilter still translates %ld flow%s%s\n", flows,
	       flows == 1 ? "" : "s", flows && waiting ? "; waiting" : "");
	fflush(stdout);
}

/* CMD_OK: none is left and our table is gone. */
static int finish(const struct cmd_line *line, bool wait)
{
	const struct sigaction action = { .sa_handler = interrupt };
	long flows = still_translated(line), first = flows;
	struct progress progress;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	say_translated(flows, wait);
	progress_begin(&progress, "migrate", "flows of netfilter are over",
		       flows > 0 ? flows : 0);
	while (flows > 0 && wait && !interrupted) {
		nanosleep(&(struct timespec){ .tv_sec = LOOK_S }, NULL);
		flows = still_translated(line);
		/* its own rules may have begun some more */
		progress_to(&progress, first > flows ? first - flows : 0);
	}
	progress_end(&progress);
	if (flows < 0)
		return CMD_FAILED;
	if (flows != first)
		say_translated(flows, false);
	if (!flows)
		return hold_remove() ? CMD_FAILED : CMD_OK;
	printf("   they go on; masqbpf migrate --finish removes what holds "
	       "netfilter's NAT in place when they are over\n");
	return CMD_FAILED;
}

/* --- the command ------------------------------------------------------- */

static int change(struct migration *m, const char *uplinks)
{
	const char *file = cmd_value(m->line, "config");
	bool dry = cmd_flag(m->line, "dry-run");
	int err = 0;

	say(m, "hold netfilter's NAT and conntrack in place (%s)", hold_text());
	if (!dry) {
		err = hold_is_there();
		m->held = !err;
		err = err < 0 ? err : hold_install();
	}
	if (err)
		return err;
	say(m, "attach %s with %s, and take over what conntrack knows", uplinks,
	    m->runs ? "the policy that runs"
	    : file  ? file
		    : "the chain's own policy");
	if (!dry) {
		err = attach(m);
		m->attached = !err && !m->was_attached;
	}
	for (size_t c = 0; c < m->chains.count && !err; c++)
		say(m, "remove the jump to %s (%s): new flows are masqbpf's",
		    m->chains.items[c].name, m->chains.items[c].tool);
	if (!err && !dry)
		err = remove_jumps(m) ?: seed_again(m);
	if (err)
		return err;
	say(m, "verify that the jump is gone and stays so");
	if (!dry) {
		err = verify(m);
		sleep(1);
		err = err ?: verify(m);
	}
	return err;
}

static int migrate(struct migration *m)
{
	bool wait = !cmd_flag(m->line, "no-wait");
	char uplinks[512] = "";
	int result, err;

	result = look(m);
	if (result)
		return result;
	for (size_t i = 0; i < m->count; i++)
		snprintf(uplinks + strlen(uplinks),
			 sizeof(uplinks) - strlen(uplinks), "%s%s",
			 i ? ", " : "", m->names[i]);
	err = change(m, uplinks);
	if (err == -EEXIST)
		/* flows may be ours by now; beside the agent they live on */
		log_warn("migrate: masqbpf stays attached beside it, which "
			 "harms nothing; then run masqbpf migrate again");
	else if (err)
		undo(m);
	if (err)
		return CMD_FAILED;
	say(m, "%s",
	    wait ? "wait for the flows that netfilter translates, "
		   "then let go of its NAT"
		 : "leave netfilter its flows");
	if (cmd_flag(m->line, "dry-run"))
		return CMD_OK;
	result = finish(m->line, wait);
	if (result == CMD_OK)
		printf("done: masqbpf translates; the chain %s is left, and "
		       "unused\n",
		       m->chains.items[0].name);
	/* not waiting was asked for */
	return wait ? result : CMD_OK;
}

static int run(const struct cmd_line *line)
{
	struct migration m = { .line = line };
	int result = CMD_FAILED, lock = -1;

	if (cmd_flag(line, "finish")) {
		if (line->argc || cmd_flag(line, "dry-run"))
			return cmd_usage(line, "--finish stands alone");
		return finish(line, !cmd_flag(line, "no-wait"));
	}
	if (be_alone(&lock))
		result = migrate(&m);
	if (lock >= 0)
		close(lock);
	masq_chains_free(&m.chains);
	config_free(m.imported);
	policy_free(m.policy);
	free(m.text);
	free(m.given);
	free(m.names);
	free(m.ifindexes);
	netdev_free(m.netdev);
	return result;
}

static const struct cmd_option options[] = {
	{ "config", "FILE",
	  "the policy (default: the one that runs, else the chain's)" },
	{ "chain", "NAME",
	  "its chain (default: IP-MASQ-AGENT or IP-MASQ, whichever is used)" },
	{ "dry-run", NULL, "say what would be done" },
	{ "no-wait", NULL, "do not wait for flows that netfilter translates" },
	{ "finish", NULL, "only that: wait, then remove the own nft table" },
	{},
};

const struct cmd cmd_migrate = {
	.name = "migrate",
	.args = "[IFACE...]",
	.help = "take over from ip-masq-agent with no connection lost",
	.min = 0,
	.max = CMD_ANY,
	.options = options,
	.run = run,
};
