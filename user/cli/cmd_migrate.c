// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_migrate.c - takes over from ip-masq-agent with no connection lost. Every
 * step says what it does. Once the agent's jump is gone new flows are ours, and
 * netfilter only goes on with what it has begun.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "base/progress.h"
#include "base/safe.h"
#include "cli/cmd.h"
#include "plane/node.h"
#include "plane/seed.h"
#include "takeover/alone.h"
#include "takeover/hold.h"
#include "takeover/jumps.h"
#include "takeover/migrate.h"

#define LOOK_S 2 /* between looks at what netfilter still translates */

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void __attribute__((format(printf, 2, 3)))
say(bool dry_run, const char *fmt, ...)
{
	static unsigned int step;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%s%u. %s\n", dry_run ? "would: " : "", ++step, shown(text));
	fflush(stdout);
}

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
	sigset_t none;
	long flows = still_translated(line), first = flows;
	struct progress progress;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
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

/* Somebody has asked for an end while that was not to be. */
static bool is_interrupted(void)
{
	sigset_t set;

	return !sigpending(&set) &&
	       (sigismember(&set, SIGHUP) || sigismember(&set, SIGINT) ||
		sigismember(&set, SIGTERM));
}

/*
 * The steps, which nothing interrupts, nor the tools that they run: a step is
 * done or it is not, so all of them can be taken back.
 */
static int change(struct migration *m, const char *uplinks)
{
	const char *file = m->file;
	bool dry = m->dry_run;
	int err = 0;

	say(m->dry_run, "hold netfilter's NAT and conntrack in place (%s)",
	    hold_text());
	if (!dry) {
		err = hold_is_there();
		m->held = !err;
		err = err < 0 ? err : hold_install();
	}
	if (err)
		return err;
	say(m->dry_run, "attach %s with %s, and take over what conntrack knows",
	    uplinks,
	    m->runs ? "the policy that runs"
	    : file  ? file
		    : "the chain's own policy");
	if (!dry) {
		err = migrate_attach(m);
		/* one that was killed leaves something, one that failed not */
		m->attached = (!err || err == -EINTR) && !m->was_attached;
	}
	if (!err && is_interrupted())
		err = -EINTR;
	for (size_t c = 0; c < m->chains.count && !err; c++)
		say(m->dry_run,
		    "remove the jump to %s (%s): new flows are masqbpf's",
		    m->chains.items[c].name, m->chains.items[c].tool);
	if (!err && !dry)
		err = jumps_remove(&m->chains, &m->removed)
			      ?: migrate_seed_again(m);
	if (err)
		return err;
	say(m->dry_run, "verify that the jump is gone and stays so");
	if (!dry) {
		err = jumps_verify(&m->chains);
		sleep(1);
		err = err ?: jumps_verify(&m->chains);
		if (!err && is_interrupted())
			err = -EINTR;
	}
	return err;
}

static int migrate(const struct cmd_line *line, struct migration *m)
{
	bool wait = !m->no_wait;
	char uplinks[512] = "";
	int result, err;

	err = migrate_look(m);
	if (err)
		return err == -EINVAL ? CMD_USAGE : CMD_FAILED;
	for (size_t i = 0; i < m->count; i++)
		snprintf(uplinks + strlen(uplinks),
			 sizeof(uplinks) - strlen(uplinks), "%s%s",
			 i ? ", " : "", m->names[i]);
	if (!m->dry_run)
		cmd_uninterrupted();
	err = change(m, uplinks);
	if (err == -EINTR)
		log_error("migrate: interrupted");
	if (err == -EEXIST)
		/* flows may be ours by now; beside the agent they live on */
		log_warn("migrate: masqbpf stays attached beside it, which "
			 "harms nothing; then run masqbpf migrate again");
	else if (err)
		migrate_undo(m);
	if (err)
		return CMD_FAILED;
	say(m->dry_run, "%s",
	    wait ? "wait for the flows that netfilter translates, "
		   "then let go of its NAT"
		 : "leave netfilter its flows");
	if (m->dry_run)
		return CMD_OK;
	result = finish(line, wait);
	if (result == CMD_OK)
		printf("done: masqbpf translates; the chain %s is left, and "
		       "unused\n",
		       shown(m->chains.items[0].name));
	/* not to wait, or no longer, was asked for */
	return wait && !interrupted ? result : CMD_OK;
}

static int run(const struct cmd_line *line)
{
	struct migration m = { .pin_dir = line->pin_dir,
			       .file = cmd_value(line, "config"),
			       .chain = cmd_value(line, "chain"),
			       .ifaces = line->argv,
			       .iface_count = line->argc,
			       .dry_run = cmd_flag(line, "dry-run"),
			       .no_wait = cmd_flag(line, "no-wait") };
	int result = CMD_FAILED, lock = -1;

	if (cmd_flag(line, "finish")) {
		if (line->argc || cmd_flag(line, "dry-run"))
			return cmd_usage(line, "--finish stands alone");
		result = finish(line, !cmd_flag(line, "no-wait"));
		if (result == CMD_OK)
			printf("done: nothing of netfilter's NAT is held in "
			       "place any more\n");
		return result;
	}
	if (migrate_alone(&lock))
		result = migrate(line, &m);
	migrate_done(lock);
	migrate_free(&m);
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
