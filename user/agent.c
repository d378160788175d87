// SPDX-License-Identifier: GPL-2.0-only
/*
 * agent.c - sets up with privileges, gives them up, and then waits for what
 * may happen: a signal, the config, the kernel's interfaces, a scrape. The
 * dataplane does not need it: when the agent ends, traffic goes on.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include "agent.h"
#include "agent_guard.h"
#include "agent_notify.h"
#include "cmd.h"
#include "fastpath.h"
#include "out.h"
#include "policy.h"

#define LOCK_TRIES   100
#define LOCK_POLL_US 20000
/* A start waits this long for a config that is being written. */
#define AWAIT_MS 4000
/* What was asked for by SIGHUP may take so long before it is left to events. */
#define FORCED_MS 4000

int agent_lock(struct agent *a)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(a->instance->lock_fd, LOCK_EX | LOCK_NB))
			return 0;
		usleep(LOCK_POLL_US);
	}
	log_warn("%s: locked by another masqbpf: trying again later",
		 a->instance->pin_dir);
	return -EBUSY;
}

void agent_unlock(struct agent *a)
{
	flock(a->instance->lock_fd, LOCK_UN);
}

/* --- set-up ------------------------------------------------------------ */

/*
 * The size of a table that is to be made stands in the file. `at_rest`: not
 * while somebody writes it.
 */
static void read_sizes(const struct agent *a, bool at_rest,
		       struct instance_options *options)
{
	struct config *config;
	char err[512];

	/* what is wrong with it is said when it is read for good */
	if (!a->options.config || !at_rest ||
	    config_load(a->options.config, NULL, &config, err, sizeof(err)))
		return;
	options->max_flows = config->max_flows;
	options->ipv6 = config->ipv6;
	options->no_flow_counts = !config->flow_counters;
	options->max_prefixes = config->keep.count + config->masquerade.count +
				config->pods.count + config->keep_sources.count;
	config_free(config);
}

static int open_signals(struct agent *a)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->signal_fd < 0 ? -errno : 0;
}

static int watch_fd(struct agent *a, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd < 0)
		return 0;
	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int watch_all(struct agent *a)
{
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (a->epoll_fd < 0)
		return -errno;
	return watch_fd(a, a->signal_fd) ?: watch_fd(a, a->netlink_fd) ?:
	       watch_fd(a, http_fd(a->http)) ?: watch_fd(a, a->helper.fd) ?:
	       watch_fd(a, a->guard_fd) ?:
	       watch_fd(a, a->has_config ? a->follower.fd : -1);
}

/* All that needs privileges, and then none are left. */
static int set_up(struct agent *a)
{
	struct instance_options sizes = {};
	struct follow_id known = {};
	bool at_rest = true;
	int err;

	/* now, while root may ask the kernel for writers of root's file */
	if (a->has_config)
		at_rest = follow_await(a->options.config, AWAIT_MS, &known);
	read_sizes(a, at_rest, &sizes);
	sizes.fast_path = a->options.fast_path;
	if (sizes.fast_path) {
		err = fastpath_possible();
		if (err)
			return err;
	}
	err = instance_open(a->options.pin_dir, INSTANCE_MAKE, &sizes,
			    &a->instance);
	if (err)
		return err;
	if (instance_is_elsewhere(a->instance))
		return instance_say_elsewhere(a->instance);
	if (sizes.fast_path && !fastpath_is_on(a->instance)) {
		log_error("agent: --fast-path: this instance was made without "
			  "it: detach --all first");
		return -EEXIST;
	}
	if (sizes.fast_path && fastpath_allow_tcp())
		return -EPERM;
	/*
	 * Before anything else is open: it outlives a killed agent by a moment,
	 * in which the next one must find guard and port free.
	 */
	err = helper_start(a->instance, &a->helper);
	if (!err) {
		a->guard_fd = guard_take(a->instance);
		err = a->guard_fd < 0 ? a->guard_fd : 0;
	}
	agent_unlock(a);
	if (err)
		return err;
	err = open_signals(a);
	if (err) {
		log_error("agent: signals: %s", strerror(-err));
		return err;
	}
	err = http_start(&a->options.listen, agent_answer, a, &a->http);
	if (err)
		return err;
	a->netlink_fd = agent_links_watch();
	if (a->netlink_fd < 0)
		return a->netlink_fd;
	if (a->has_config) {
		err = follow_start(&a->follower, a->options.config,
				   at_rest ? &known : NULL);
		if (err)
			return err;
	}
	a->notify_fd = notify_open();
	err = watch_all(a);
	if (err) {
		log_error("agent: epoll: %s", strerror(-err));
		return err;
	}
	return sandbox_agent(a->instance, &a->options.user);
}

/* --- the loop ---------------------------------------------------------- */

static void notify_status(struct agent *a, bool ready)
{
	struct agent_health health;

	agent_health(a, &health);
	health.text[strcspn(health.text, "\n")] = '\0';
	notify(a->notify_fd, "%sSTATUS=%s", ready ? "READY=1\n" : "",
	       *health.text ? health.text : "all is well");
}

static void finish_reload(struct agent *a)
{
	bool awaited = a->forced_ms;

	a->forced = false;
	a->forced_ms = 0;
	agent_policy_update(a, true);
	agent_links_update(a);
	agent_foreign_update(a);
	notify_status(a, awaited);
}

static void reload(struct agent *a)
{
	notify_reloading(a->notify_fd);
	a->forced = true;
	a->forced_ms = follow_now_ms() + FORCED_MS;
	if (!a->has_config)
		finish_reload(a);
}

/* The config, when it has come to rest: by itself, or because of SIGHUP. */
static void look_at_config(struct agent *a)
{
	bool news = follow_look(&a->follower);

	if (a->forced && (news || follow_take(&a->follower))) {
		finish_reload(a);
	} else if (news) {
		agent_policy_update(a, false);
		/* another policy, other uplinks, other pods */
		a->links_due_ms = 0;
		a->foreign_due_ms = 0;
	} else if (a->forced_ms && follow_now_ms() >= a->forced_ms) {
		/* its writer takes his time: it stays asked for */
		a->forced_ms = 0;
		agent_policy_unfinished(a);
		notify_status(a, true);
	}
}

static void read_signals(struct agent *a)
{
	struct signalfd_siginfo info;

	while (read(a->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload(a);
		else
			a->stop = true;
	}
}

static uint64_t least_wait_ms(const struct agent *a, uint64_t watchdog_at)
{
	uint64_t now = follow_now_ms(), wait, other;

	wait = a->links_due_ms > now ? a->links_due_ms - now : 0;
	other = a->foreign_due_ms > now ? a->foreign_due_ms - now : 0;
	wait = other < wait ? other : wait;
	if (a->has_config) {
		other = follow_wait_ms(&a->follower);
		wait = other < wait ? other : wait;
	}
	if (a->forced_ms) {
		other = a->forced_ms > now ? a->forced_ms - now : 0;
		wait = other < wait ? other : wait;
	}
	if (http_timeout(a->http) >= 0) {
		other = http_timeout(a->http);
		wait = other < wait ? other : wait;
	}
	if (watchdog_at) {
		other = watchdog_at > now ? watchdog_at - now : 0;
		wait = other < wait ? other : wait;
	}
	return wait;
}

static void handle_events(struct agent *a, const struct epoll_event *events,
			  int count)
{
	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;

		if (fd == a->signal_fd)
			read_signals(a);
		else if (fd == a->netlink_fd)
			agent_links_events(a);
		else if (fd == a->helper.fd)
			a->failed = -EPIPE; /* it speaks only when asked */
		else if (fd == a->guard_fd)
			guard_answer(fd);
		else if (a->has_config && fd == a->follower.fd)
			follow_events(&a->follower);
	}
	http_run(a->http);
	if (a->has_config)
		look_at_config(a);
	if (follow_now_ms() >= a->foreign_due_ms)
		agent_foreign_update(a);
	if (follow_now_ms() >= a->links_due_ms) {
		agent_links_update(a);
		notify_status(a, false);
	}
}

static void loop(struct agent *a)
{
	uint64_t watchdog_ms = notify_watchdog_ms(), watchdog_at = 0;
	struct epoll_event events[16];

	while (!a->stop && !a->failed) {
		uint64_t wait;
		int n;

		if (watchdog_ms && follow_now_ms() >= watchdog_at) {
			notify(a->notify_fd, "WATCHDOG=1");
			watchdog_at = follow_now_ms() + watchdog_ms;
		}
		wait = least_wait_ms(a, watchdog_at);
		n = epoll_wait(a->epoll_fd, events, 16,
			       wait > 60000 ? 60000 : (int)wait);
		if (n < 0 && errno != EINTR) {
			a->failed = -errno;
			break;
		}
		handle_events(a, events, n < 0 ? 0 : n);
	}
	if (a->failed == -EPIPE)
		log_error("agent: its helper is gone: ending; a service "
			  "manager starts the agent anew");
}

/* --- health ------------------------------------------------------------ */

static void __attribute__((format(printf, 2, 3)))
add_text(struct agent_health *health, const char *fmt, ...)
{
	size_t used = strlen(health->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(health->text + used, sizeof(health->text) - used, fmt, ap);
	va_end(ap);
}

void agent_health(const struct agent *a, struct agent_health *out)
{
	size_t attached = 0, missing = 0;

	*out = (struct agent_health){};
	if (!a->has_policy)
		add_text(out, "no policy is in force\n");
	if (*a->config_problem)
		add_text(out, "%s%s\n", a->config_problem,
			 a->stale ? "; the policy in force is older" : "");
	for (size_t i = 0; i < a->link_count; i++) {
		const struct agent_link *link = &a->links[i];

		attached += link->whole;
		missing += link->ifindex && !link->whole;
		if (!link->whole)
			add_text(out, "%s: %s\n", link->name,
				 link->ifindex ? "is not attached"
					       : "no such interface");
	}
	if (a->has_policy && !attached)
		add_text(out, "no interface is attached\n");
	add_text(out, "%s", a->foreign);
	out->ready = a->has_policy && attached && !missing;
}

/* --- all of it --------------------------------------------------------- */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int agent_run(const struct agent_options *options)
{
	struct agent a = { .options = *options,
			   .helper = { -1, -1 },
			   .signal_fd = -1,
			   .netlink_fd = -1,
			   .notify_fd = -1,
			   .guard_fd = -1,
			   .epoll_fd = -1,
			   .follower = { .fd = -1 },
			   .foreign_count = -1,
			   .has_config = options->config };
	int err;

	for (int i = 0; i < options->iface_count; i++)
		a.auto_ifaces |= !strcmp(options->ifaces[i], "auto");
	err = set_up(&a);
	if (!err) {
		agent_policy_begin(&a);
		agent_links_update(&a);
		agent_foreign_update(&a);
		notify_status(&a, true);
		loop(&a);
		err = a.failed;
		notify(a.notify_fd, "STOPPING=1");
		if (!err)
			log_info("agent: ending; the dataplane stays in "
				 "force (masqbpf detach --all removes it)");
	}
	http_stop(a.http);
	close_fd(a.helper.fd);
	close_fd(a.signal_fd);
	close_fd(a.netlink_fd);
	close_fd(a.notify_fd);
	close_fd(a.guard_fd);
	close_fd(a.epoll_fd);
	close_fd(a.follower.fd);
	instance_close(a.instance);
	metrics_free(&a.metrics);
	free(a.links);
	return err ? CMD_FAILED : CMD_OK;
}
