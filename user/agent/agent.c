// SPDX-License-Identifier: GPL-2.0-only
/*
 * agent.c - sets up with privileges, gives them up, attaches, and then waits
 * for what may happen: a signal, the config, the kernel's interfaces, a scrape.
 * The dataplane does not need it: when the agent ends, traffic goes on. But
 * nobody else attaches: so nothing that attaching can do without ends it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agent/due.h"
#include "agent/fast.h"
#include "agent/foreign.h"
#include "agent/guard.h"
#include "agent/health.h"
#include "agent/http.h"
#include "agent/links.h"
#include "agent/notify.h"
#include "agent/policy.h"
#include "agent/renewer.h"
#include "agent/save.h"
#include "agent/sizes.h"
#include "base/log.h"
#include "kernel/podname.h"
#include "plane/agent_lock.h"
#include "plane/fastpath.h"
#include "plane/fit.h"
#include "policy/read.h"
#include "policy/saved.h"
#include "report/due.h"

/* A start waits this long for a config that is being written. */
#define AWAIT_MS 4000
/* What was asked for by SIGHUP may take so long before it is left to events. */
#define FORCED_MS 4000
/* Between attempts to listen, to start the helper. */
#define LISTEN_MS 3000
#define HELPER_S  2
/* And more to read what was in force before. */
#define SAVED_TRIES 2
/* While the helper works the service manager is told to wait. */
#define PATIENCE_MS 10000

/* --- signals ----------------------------------------------------------- */

/* They come in while it waits, and only then: see wait_for. */
static volatile sig_atomic_t hangup, ending;
static sigset_t waiting;

static void on_signal(int sig)
{
	if (sig == SIGHUP)
		hangup = 1;
	else
		ending = 1;
}

static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &waiting);
	sigdelset(&waiting, SIGINT);
	sigdelset(&waiting, SIGTERM);
	sigdelset(&waiting, SIGHUP);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* Until one of these is readable, a signal comes, or the time is over. */
static void wait_for(struct pollfd *fds, size_t count, uint64_t ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	if (ppoll(fds, count, &t, &waiting) >= 0)
		return;
	for (size_t i = 0; i < count; i++)
		fds[i].revents = 0;
	if (errno != EINTR) /* no memory: not in a circle */
		usleep(100000);
}

/* --- the config at the start ------------------------------------------- */

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
	options->configured = true;
	options->max_flows = config->max_flows;
	options->ipv6 = config->ipv6;
	options->no_flow_counts = !config->flow_counters;
	options->max_prefixes = config->keep.count + config->masquerade.count +
				config->pods.count + config->keep_sources.count;
	config_free(config);
}

/* --- listening --------------------------------------------------------- */

/* Whoever has the port now may not have it later. */
static void listen_again(struct agent *a)
{
	char address[80];
	int err = http_listen(a->http);

	a->listen_at = err ? follow_now_ms() + LISTEN_MS : 0;
	if (!err) {
		agent_done(a, MASQ_DUE_LISTEN);
		return;
	}
	http_address_text(&a->options.listen, address, sizeof(address));
	if (agent_due(a, MASQ_DUE_LISTEN, "%s: cannot listen: %s", address,
		      strerror(-err)))
		log_error("%s: cannot listen: %s: tried again every %d s; "
			  "until then there are no metrics",
			  address, strerror(-err), LISTEN_MS / 1000);
}

/* With privileges: a port may need them. */
static void listen_first(struct agent *a)
{
	int err;

	for (int tries = AGENT_TRIES; tries; tries--) {
		err = http_new(&a->options.listen, agent_answer, a, &a->http);
		if (!err)
			break;
		usleep(AGENT_TRY_MS * 1000);
	}
	if (!err) {
		listen_again(a);
		return;
	}
	agent_due(a, MASQ_DUE_LISTEN, "http: cannot start: %s", strerror(-err));
	log_error("http: cannot start: %s: there are no metrics until the "
		  "agent is started again",
		  strerror(-err));
}

static void serve(struct agent *a)
{
	http_run(a->http);
	if (a->listen_at && follow_now_ms() >= a->listen_at)
		listen_again(a);
}

static void feed_watchdog(struct agent *a)
{
	if (!a->watchdog_ms || follow_now_ms() < a->watchdog_at)
		return;
	notify(a->notify_fd, "WATCHDOG=1");
	a->watchdog_at = follow_now_ms() + a->watchdog_ms;
}

/* --- the helper -------------------------------------------------------- */

/*
 * Taking over very many flows on a busy node takes minutes. Whoever wants to
 * know how things are is answered meanwhile; what changes has to wait.
 */
static int await(void *data, int fd)
{
	struct agent *a = data;
	uint64_t patience_at = follow_now_ms() + PATIENCE_MS;

	a->awaiting = true;
	while (!ending) {
		struct pollfd fds[] = {
			{ .fd = fd, .events = POLLIN },
			{ .fd = http_fd(a->http), .events = POLLIN },
		};

		wait_for(fds, 2, 1000);
		if (fds[0].revents) {
			a->awaiting = false;
			return 0;
		}
		serve(a);
		feed_watchdog(a);
		if (follow_now_ms() >= patience_at) {
			notify(a->notify_fd, "EXTEND_TIMEOUT_USEC=60000000");
			patience_at = follow_now_ms() + PATIENCE_MS;
		}
	}
	a->stop = true;
	return -ECANCELED;
}

/* Nothing can be attached without it. */
static int start_helper(struct agent *a)
{
	int err;

	while ((err = helper_start(a->instance, &a->helper)) == -EAGAIN ||
	       err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		sleep(HELPER_S);
	a->helper.wait = await;
	a->helper.data = a;
	if (!err)
		renewer_start(a);
	a->renewer.wait = await;
	a->renewer.data = a;
	return err;
}

/* --- set-up ------------------------------------------------------------ */

/* A moment's lack of memory is waited for. */
static struct saved *read_saved(struct agent *a)
{
	struct saved *saved;

	for (int more = SAVED_TRIES;; more--) {
		saved = saved_read(a->options.pin_dir, &a->unknown);
		if (!a->unknown || !more)
			return saved;
		sleep(HELPER_S);
	}
}

/* What was in force before a reboot, where nothing is yet. */
static void restore(struct agent *a, struct saved **saved, bool looked)
{
	struct policy *policy;
	int err = policy_read(a->instance, &policy);

	if (!err)
		policy_free(policy);
	if (err != -ENODATA)
		return;
	if (!looked) /* pins of one that was killed before it had a policy */
		*saved = read_saved(a);
	if (*saved && saved_restore(a->instance, *saved))
		a->unknown = true;
}

static int open_pins(struct agent *a, const struct saved *saved)
{
	struct instance_options *sizes = &a->sizes;
	const char *lacks = fastpath_lacks();
	int err;

	if (lacks && a->options.fast_path == FASTPATH_ON) {
		log_error("--fast-path %s", lacks);
		return -EOPNOTSUPP;
	}
	sizes->fast_path = !lacks && a->options.fast_path != FASTPATH_OFF;
	if (!sizes->fast_path)
		snprintf(a->fast.node, sizeof(a->fast.node), "%s",
			 lacks ?: "--fast-path off");
	if (lacks && a->options.fast_path == FASTPATH_AUTO)
		log_info("fast path: off: %s", lacks);
	sizes->ipv6 |= a->options.enable_ipv6;
	sizes->patient = true;
	sizes->unhook = hook_detach_all;
	err = instance_open(a->options.pin_dir, INSTANCE_MAKE, sizes,
			    &a->instance);
	/* as large as before a reboot, where the file's are too large */
	if ((err == -ENOMEM || err == -E2BIG) && saved && sizes->configured) {
		sizes->configured = false;
		sizes->max_prefixes = 0;
		saved_sizes(saved, sizes);
		err = instance_open(a->options.pin_dir, INSTANCE_MAKE, sizes,
				    &a->instance);
	}
	if (err)
		return err;
	if (instance_is_elsewhere(a->instance))
		return instance_say_elsewhere(a->instance);
	agent_sizes_begin(a);
	return a->options.fast_path == FASTPATH_ON &&
			       fastpath_allow_tcp(a->instance)
		       ? -EPERM
		       : 0;
}

static int open_instance(struct agent *a)
{
	bool looked = !instance_is_pinned(a->options.pin_dir);
	struct saved *saved = looked ? read_saved(a) : NULL;
	int err;

	if (saved)
		saved_sizes(saved, &a->sizes);
	err = open_pins(a, saved);
	if (!err)
		restore(a, &saved, looked);
	saved_free(saved);
	return err;
}

/*
 * All that needs privileges, and then none are left. Only what the agent
 * cannot be without ends it.
 */
static int set_up(struct agent *a)
{
	struct follow_id known = {};
	bool at_rest = true;
	int err;

	/* now, while root may ask the kernel for writers of root's file */
	if (a->has_config)
		at_rest = follow_await(a->options.config, AWAIT_MS, &known);
	read_sizes(a, at_rest, &a->sizes);
	err = open_instance(a);
	if (err)
		return err;
	instance_unlock(a->instance);
	/*
	 * Before anything else is open: it outlives a killed agent by a moment,
	 * in which the next one must find guard and port free.
	 */
	err = start_helper(a);
	if (err)
		return err;
	a->instance->fit = helper_fit;
	a->instance->fit_data = &a->helper;
	a->instance->save = helper_save;
	a->guard_fd = agent_lock_take(a->instance);
	if (a->guard_fd == -EBUSY)
		return a->guard_fd;
	catch_signals();
	for (enum masq_due_kind kind = 0; kind < MASQ_DUE_MAX; kind++)
		due_write(a->instance, kind, NULL); /* of the one before */
	listen_first(a);
	a->notify_fd = notify_open();
	a->watchdog_ms = notify_watchdog_ms();
	err = sandbox_agent(a->instance, &a->options.user);
	if (!err && a->has_config)
		follow_start(&a->follower, a->options.config,
			     at_rest ? &known : NULL);
	return err;
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

/* Events may be refused us, or be told again. */
static void look_at_follower(struct agent *a)
{
	const struct follower *f = &a->follower;

	if (!f->blind) {
		if (agent_done(a, MASQ_DUE_FOLLOW))
			log_info("%s: changes are told again", f->path);
	} else if (agent_due(a, MASQ_DUE_FOLLOW,
			     "%s: changes are not told (inotify: %s; see "
			     "fs.inotify.max_user_instances and _watches): "
			     "looked at every few seconds",
			     f->path, strerror(f->blind))) {
		log_warn("%s", a->due[MASQ_DUE_FOLLOW]);
	}
}

/* The config, when it has come to rest: by itself, or because of SIGHUP. */
static void look_at_config(struct agent *a)
{
	bool news = follow_look(&a->follower);

	look_at_follower(a);
	if (a->forced && (news || follow_take(&a->follower))) {
		finish_reload(a);
	} else if (news) {
		agent_policy_update(a, a->again_forced);
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

/* Milliseconds from now to then, at least, but no more than `wait`. */
static uint64_t sooner(uint64_t wait, uint64_t then)
{
	uint64_t now = follow_now_ms();
	uint64_t left = then > now ? then - now : 0;

	return left < wait ? left : wait;
}

static uint64_t least_wait_ms(const struct agent *a)
{
	uint64_t wait =
		sooner(sooner(60000, a->links_due_ms), a->foreign_due_ms);

	if (a->has_config && follow_wait_ms(&a->follower) < wait)
		wait = follow_wait_ms(&a->follower);
	if (a->forced_ms)
		wait = sooner(wait, a->forced_ms);
	if (a->again != AGAIN_NOTHING)
		wait = sooner(wait, a->again_ms);
	if (a->listen_at)
		wait = sooner(wait, a->listen_at);
	if (http_timeout(a->http) >= 0 &&
	    (uint64_t)http_timeout(a->http) < wait)
		wait = http_timeout(a->http);
	if (a->watchdog_ms)
		wait = sooner(wait, a->watchdog_at);
	if (a->has_policy) {
		wait = sooner(wait, a->guard_due_ms);
		wait = sooner(wait, a->fit_due_ms);
		if (a->save_due_ms)
			wait = sooner(wait, a->save_due_ms);
	}
	if (fastpath_is_on(a->instance))
		wait = sooner(wait, a->fast_due_ms);
	wait = sooner(wait, renewer_due_ms(a));
	return wait;
}

/* What is due now, whatever has woken us. */
static void do_what_is_due(struct agent *a)
{
	log_hold(false); /* what nobody has read so far */
	serve(a);
	if (hangup) {
		hangup = 0;
		reload(a);
	}
	if (a->has_config)
		look_at_config(a);
	agent_policy_again(a);
	agent_sizes_again(a);
	agent_guard_update(a);
	agent_save_update(a);
	if (follow_now_ms() >= a->foreign_due_ms)
		agent_foreign_update(a);
	if (follow_now_ms() >= a->links_due_ms && !a->stop) {
		agent_links_update(a);
		notify_status(a, false);
	}
	if (follow_now_ms() >= a->fast_due_ms && !a->stop && !a->failed)
		agent_fast_update(a);
	if (!a->stop && !a->failed)
		renewer_update(a);
}

static void loop(struct agent *a)
{
	while (!ending && !a->stop && !a->failed) {
		/* one that is -1 is not looked at */
		struct pollfd fds[] = {
			{ .fd = a->helper.fd, .events = POLLIN },
			{ .fd = http_fd(a->http), .events = POLLIN },
			{ .fd = a->netlink_fd, .events = POLLIN },
			{ .fd = a->has_config ? a->follower.fd : -1,
			  .events = POLLIN },
			{ .fd = log_waits() ? STDERR_FILENO : -1,
			  .events = POLLOUT },
		};

		feed_watchdog(a);
		wait_for(fds, 5, least_wait_ms(a));
		if (ending)
			break;
		if (fds[0].revents) {
			a->failed = -EPIPE; /* it speaks only when asked */
			break;
		}
		if (fds[2].revents)
			agent_links_events(a);
		if (fds[3].revents)
			follow_events(&a->follower);
		do_what_is_due(a);
	}
	if (a->failed == -EPIPE)
		log_error("agent: its helper is gone: ending; a service "
			  "manager starts the agent anew");
}

/* --- all of it --------------------------------------------------------- */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* What whoever started us had open, and where: it would be so for ever. */
static void leave_alone(const struct agent_options *options)
{
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if ((!options->config || *options->config == '/') && chdir("/"))
		log_debug("agent: cannot leave its directory: %s",
			  strerror(errno));
}

int agent_run(const struct agent_options *options)
{
	struct agent a = { .options = *options,
			   .helper = { .fd = -1 },
			   .renewer = { .fd = -1 },
			   .netlink_fd = -1,
			   .notify_fd = -1,
			   .guard_fd = -1,
			   .follower = { .fd = -1 },
			   .foreign_count = -1,
			   .guard_window_ns = VIGIL_WINDOW_MS * 1000000ULL,
			   .has_config = options->config };
	int err;

	log_never_wait();
	leave_alone(options);
	podname_take(NULL); /* the helper opens them, later */
	err = set_up(&a);
	if (!err) {
		agent_policy_begin(&a);
		agent_links_update(&a);
		if (!a.stop && !a.failed)
			agent_foreign_update(&a);
		notify_status(&a, true);
		loop(&a);
		err = a.failed;
		notify(a.notify_fd, "STOPPING=1");
		agent_save_last(&a);
		if (!err)
			log_info("agent: ending; the dataplane stays in "
				 "force (masqbpf detach --all removes it)");
	}
	http_stop(a.http);
	close_fd(a.helper.fd);
	close_fd(a.renewer.fd);
	close_fd(a.netlink_fd);
	close_fd(a.notify_fd);
	close_fd(a.guard_fd);
	close_fd(a.follower.fd);
	ward_close(a.ward);
	verdict_free(&a.verdict);
	instance_close(a.instance);
	metrics_free(&a.metrics);
	free(a.page);
	free(a.links);
	return err;
}
