// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_watch.c - `masqbpf watch`: events as they happen. The dataplane puts
 * them into a ring buffer while masq_watch says that somebody listens; it
 * never waits for us. What did not fit is counted there and said here.
 *
 * A ring buffer has one reader, so there is one for each of a few listeners.
 * A place among them lasts some seconds and is renewed, so a killed listener
 * is in nobody's way and costs packets nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include "base/json.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/filter.h"
#include "cli/watch.h"
#include "cli/watch_print.h"
#include "plane/fit.h"
#include "policy/compare.h"
#include "policy/plan.h"
#include "policy/read.h"

#define LEASE_SEC 3 /* renewed each second */
#define POLL_NS	  50000000
#define AT_ONCE	  256 /* events, then the clock is looked at */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* --- a place among the listeners --------------------------------------- */

static int on_event(void *data, void *record, size_t size);
static int follow_policy(struct watch *w);
static void show_policy(struct watch *w);

static bool is_taken(const struct masq_listener *listener, uint32_t now)
{
	return listener->until && (int32_t)(listener->until - now) >= 0;
}

static uint32_t second(const struct watch *w)
{
	return instance_now_ns(w->instance) / NS_PER_SEC;
}

static void renew_place(struct watch *w)
{
	w->me->until = second(w) + LEASE_SEC ?: 1;
}

static int say_full(const struct watch *w)
{
	char pids[MASQ_LISTENERS * 12] = "", *c = pids;

	for (int i = 0; i < MASQ_LISTENERS; i++) {
		if (i)
			c = stpcpy(c, ", ");
		*(c = put_u64(c, w->board->listener[i].pid)) = '\0';
	}
	log_error(
		"watch: %d others watch already (processes %s): end one of them",
		MASQ_LISTENERS, pids);
	return -EBUSY;
}

/* With the instance's lock held, so that of two only one gets a place. */
static int take_place(struct watch *w)
{
	uint32_t now = w->start_ns / NS_PER_SEC;
	int i = 0;

	w->board = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED,
			w->instance->map[MAP_masq_watch], 0);
	if (w->board == MAP_FAILED) {
		int err = -errno;

		w->board = NULL;
		log_error("watch: masq_watch: cannot map: %s", strerror(-err));
		return err;
	}
	while (i < MASQ_LISTENERS && is_taken(&w->board->listener[i], now))
		i++;
	if (i == MASQ_LISTENERS)
		return say_full(w);
	w->me = &w->board->listener[i];
	w->ring = ring_buffer__new(w->instance->map[MAP_masq_events0 + i],
				   on_event, w, NULL);
	if (!w->ring) {
		int err = -errno;

		log_error("watch: masq_events%d: %s", i, strerror(-err));
		return err;
	}
	w->me->pid = getpid();
	w->lost = w->me->lost;
	w->lost_ns = w->start_ns;
	renew_place(w);
	return 0;
}

/* Stopped for longer than the place lasts, we have lost it to somebody. */
static int keep_place(struct watch *w)
{
	if (w->me->pid != (uint32_t)getpid()) {
		log_error(
			"watch: stopped for more than %d s, and process %u has taken this one's place: start it anew",
			LEASE_SEC, w->me->pid);
		w->me = NULL;
		return -ESTALE;
	}
	if (!is_taken(w->me, second(w)))
		log_warn(
			"watch: was stopped for more than %d s: not all events of that time are shown",
			LEASE_SEC);
	renew_place(w);
	return 0;
}

static void leave_place(struct watch *w)
{
	if (w->me)
		w->me->until = 0;
	ring_buffer__free(w->ring);
	if (w->board)
		munmap(w->board, getpagesize());
}

/*
 * Ends the reading by an error: as long as events come faster than they are
 * printed, ring_buffer__consume would not come back to renew our place.
 */
static int on_event(void *data, void *record, size_t size)
{
	const struct masq_event *e = record;
	struct watch *w = data;
	int err;

	if (size < sizeof(*e))
		return 0;
	/* was there a change just before it? */
	err = e->time_ns > w->asked_ns ? follow_policy(w) : 0;
	if (err)
		return err;
	if (w->next && event_realtime(w, record) >= w->next->head.applied_ns)
		show_policy(w);
	show_event(w, record);
	if (stopped || (w->limit && w->shown == w->limit))
		return -ECANCELED;
	return ++w->read % AT_ONCE ? 0 : -EAGAIN;
}

/* In the order of time: after the events that were before it. */
static void show_policy(struct watch *w)
{
	if (w->policy && w->events >> WATCH_POLICY & 1) {
		w->shown++;
		if (w->format == JSON)
			json_change(w->next, w->plan);
		else if (w->format == TEXT)
			text_change(w->next, w->plan);
	}
	plan_free(w->plan);
	policy_free(w->policy);
	w->policy = w->next;
	w->next = NULL;
	w->plan = NULL;
}

static uint32_t generation(const struct instance *instance)
{
	struct masq_policy head = {};
	uint32_t zero = 0, half = 0;

	if (bpf_map_lookup_elem(instance->map[MAP_masq_active], &zero, &half))
		return 0;
	half &= 1;
	bpf_map_lookup_elem(instance->map[MAP_masq_policy], &half, &head);
	return head.generation;
}

static int follow_policy(struct watch *w)
{
	struct policy *policy = NULL;
	struct plan *plan = NULL;
	int err;

	w->asked_ns = instance_now_ns(w->instance);
	if (w->next || (w->policy &&
			w->policy->head.generation == generation(w->instance)))
		return 0;
	err = policy_read(w->instance, &policy);
	if (err)
		return err == -ENODATA ? 0 : err;
	err = plan_make(w->instance, w->policy ?: policy, policy, &plan);
	if (err) {
		policy_free(policy);
		return err;
	}
	w->next = policy;
	w->plan = plan;
	if (!w->policy) /* what was there is no event */
		show_policy(w);
	return 0;
}

/* --- the loop ---------------------------------------------------------- */

/* In the shape of the stream, too: a reader of a pipe must not miss it. */
static void print_lost(const struct watch *w, uint64_t lost, uint64_t now_ns)
{
	uint64_t end = clock_ns(CLOCK_REALTIME) / NS_PER_SEC;
	struct json j;

	if (w->format == JSON) {
		json_begin_line(&j, stdout);
		json_object(&j, NULL);
		json_time(&j, clock_ns(CLOCK_REALTIME));
		json_string(&j, "event", "lost");
		json_u64(&j, "count", lost);
		json_object_end(&j);
		json_end(&j);
	} else if (w->format == VPC_FLOW_LOG) {
		printf("2 - - - - - - - - - %llu %llu - SKIPDATA\n",
		       (unsigned long long)(end -
					    (now_ns - w->lost_ns) / NS_PER_SEC),
		       (unsigned long long)end);
	}
}

static void tell_lost(struct watch *w)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	uint64_t lost = w->me->lost - w->lost;

	if (lost) {
		log_warn(
			"watch: %llu events came too fast and are not shown: what is shown is a sample (ask for less: --events, --pod, --dest)",
			(unsigned long long)lost);
		print_lost(w, lost, now_ns);
		w->lost += lost;
	}
	w->lost_ns = now_ns;
}

static int each_second(struct watch *w)
{
	int err = keep_place(w);

	if (err)
		return err;
	tell_lost(w);
	/* somebody may have given it another size: events come all the same */
	if (!instance_is_gone(w->instance)) {
		err = instance_renew(w->instance, false);
		return err < 0 ? err : 0;
	}
	log_info("watch: %s: detached", w->instance->pin_dir);
	stopped = 1;
	return 0;
}

static int loop(struct watch *w, uint64_t until_ns)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	uint64_t renewed = w->start_ns, now;
	int err = 0;

	while (!err && !stopped && !ferror(stdout) &&
	       (!w->limit || w->shown < w->limit)) {
		now = clock_ns(CLOCK_MONOTONIC);
		if (until_ns && now >= until_ns)
			break;
		if (now - renewed >= NS_PER_SEC) {
			renewed = now;
			err = each_second(w);
		}
		err = err ?: follow_policy(w);
		/* negative: there is more */
		if (!err && !ring_buffer__consume(w->ring)) {
			if (w->next)
				show_policy(w);
			nanosleep(&pause, NULL);
		}
		/* line by line for a pipe's reader, but not a call each */
		fflush(stdout);
	}
	if (w->me)
		tell_lost(w);
	return err == -ESTALE ? 0 : err;
}

static int parse_events(const struct cmd_line *line, struct watch *w)
{
	const char *value = cmd_value(line, "events");
	char *copy, *rest, *word;

	w->events = ~0U;
	if (!value)
		return CMD_OK;
	w->events = 0;
	copy = rest = strdup(value);
	if (!copy)
		return CMD_FAILED;
	while ((word = strsep(&rest, ","))) {
		int i = WATCH_NEW;

		while (i < WATCH_MAX && strcmp(event_names[i], word))
			i++;
		if (i == WATCH_MAX) {
			free(copy);
			return cmd_usage(
				line,
				"--events %s: a comma list of new, end, drop, policy",
				value);
		}
		w->events |= 1U << i;
	}
	free(copy);
	return CMD_OK;
}

static int parse_number(const struct cmd_line *line, const char *option,
			uint64_t *out)
{
	const char *value = cmd_value(line, option);
	char err[256];

	if (!value ||
	    !number_parse(value, 1, UINT32_MAX, out, err, sizeof(err)))
		return CMD_OK;
	return cmd_usage(line, "--%s %s: %s", option, value, err);
}

static int parse_format(const struct cmd_line *line, struct watch *w)
{
	const char *value = cmd_value(line, "format")
				    ?: (line->json ? "json" : "text");

	if (line->json && strcmp(value, "json"))
		return cmd_usage(line, "--format %s: excludes --json", value);
	if (!strcmp(value, "json"))
		w->format = JSON;
	else if (!strcmp(value, "vpc-flow-log"))
		w->format = VPC_FLOW_LOG;
	else if (strcmp(value, "text"))
		return cmd_usage(line,
				 "--format %s: not text, json or vpc-flow-log",
				 value);
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	struct sigaction on_stop = { .sa_handler = stop };
	struct watch w = { .start_ns = clock_ns(CLOCK_MONOTONIC) };
	uint64_t seconds = 0;
	int result = parse_format(line, &w) ?: parse_events(line, &w) ?:
		     parse_number(line, "count", &w.limit) ?:
		     parse_number(line, "seconds", &seconds) ?:
		     flow_filter_read(line, &w.filter);
	int err;

	if (result)
		return result;
	result = cmd_open(line, INSTANCE_WRITE, &w.instance);
	if (result)
		goto out;
	result = CMD_FAILED;
	sigaction(SIGINT, &on_stop, NULL);
	sigaction(SIGTERM, &on_stop, NULL);
	sigaction(SIGHUP, &on_stop, NULL);
	if (take_place(&w))
		goto out;
	/* others may change what we look at */
	instance_unlock(w.instance);

	err = follow_policy(&w);
	err = err ?: loop(&w, seconds ? w.start_ns + seconds * NS_PER_SEC : 0);
	if (err)
		log_error("watch: %s", strerror(-err));
	else if (w.me)
		result = CMD_OK;
out:
	leave_place(&w);
	plan_free(w.plan);
	policy_free(w.next);
	policy_free(w.policy);
	instance_close(w.instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "format", "FORMAT", "text (default), json or vpc-flow-log" },
	{ "events", "LIST", "of new, end, drop, policy; default: all" },
	{ "count", "N", "end after N events" },
	{ "seconds", "N", "end after N seconds" },
	{ "pod", "ADDR|CIDR", "our side" },
	{ "dest", "ADDR|CIDR", "original destination" },
	{ "port", "N", "original destination port" },
	{ "node-port", "N", "the node's port that the far side sees" },
	{ "proto", "NAME|N", "tcp, udp, icmp, sctp ..., or a number" },
	{ "prefix", "CIDR", "the prefix that decided" },
	{ "action", "ACTION", "masquerade, keep or inbound" },
	{},
};

const struct cmd cmd_watch = {
	.name = "watch",
	.args = "",
	.help = "events as they happen: flows, drops, policy changes",
	.options = options,
	.examples = "  masqbpf watch --events drop\n"
		    "  masqbpf watch --dest 172.30.0.0/16\n",
	.run = run,
};
