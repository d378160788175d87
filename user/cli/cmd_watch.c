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
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include "base/color.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/filter.h"
#include "cli/show.h"
#include "plane/counters.h"
#include "policy/compare.h"
#include "policy/plan.h"
#include "policy/read.h"

#define NS_PER_SEC   1000000000ULL
#define LEASE_SEC    3 /* renewed each second */
#define POLL_NS	     50000000
#define AT_ONCE	     256 /* events, then the clock is looked at */
#define SHOWN_RANGES 4 /* of a policy change, as text */

enum format {
	TEXT,
	JSON,
	VPC_FLOW_LOG
};

/* What --events chooses from; enum masq_event_type and our own. */
enum {
	WATCH_NEW = MASQ_EV_NEW,
	WATCH_END = MASQ_EV_END,
	WATCH_DROP = MASQ_EV_DROP,
	WATCH_POLICY,
	WATCH_MAX,
};
static const char *const event_names[WATCH_MAX] = {
	[WATCH_NEW] = "new",
	[WATCH_END] = "end",
	[WATCH_DROP] = "drop",
	[WATCH_POLICY] = "policy",
};

struct watch {
	struct instance *instance;
	struct masq_watch *board; /* mmap of the map */
	struct masq_listener *me;
	struct ring_buffer *ring;
	struct policy *policy; /* as last seen; NULL: none yet */
	struct flow_filter filter;
	enum format format;
	uint32_t events; /* bits of what is shown */
	uint64_t limit, shown; /* limit 0: none */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t lost_ns; /* as of when lost was told */
	uint64_t lost;
	uint32_t read; /* events since the clock was looked at */
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* --- a place among the listeners --------------------------------------- */

static int on_event(void *data, void *record, size_t size);

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

/* --- events ------------------------------------------------------------ */

static void read_addr(struct addr *out, uint8_t family, const __be32 *from)
{
	out->family = family;
	memcpy(out->a, from, sizeof(out->a));
}

static struct flow event_flow(const struct masq_event *e)
{
	struct flow flow = {
		.proto = e->proto,
		.kind = e->kind,
		.state = e->state,
		.in_port = ntohs(e->in_port),
		.rem_port = ntohs(e->rem_port),
		.prefix = e->type == MASQ_EV_DROP ? MASQ_NO_PREFIX : e->prefix,
		.age = e->age,
		.egress = e->egress,
		.ingress = e->ingress,
		.replied = e->kind == MASQ_K_INBOUND ? e->egress.packets
						     : e->ingress.packets,
	};

	read_addr(&flow.in, e->family, e->in_addr);
	read_addr(&flow.rem, e->family, e->rem_addr);
	if (e->kind == MASQ_K_FWD) {
		read_addr(&flow.xlat, e->family, e->xlat_addr);
		flow.xlat_port = ntohs(e->xlat_port);
	}
	/* a packet from outside was opened there */
	if (e->type == MASQ_EV_DROP && e->direction)
		flow.kind = MASQ_K_INBOUND;
	return flow;
}

static uint64_t event_realtime(const struct watch *w,
			       const struct masq_event *e)
{
	return clock_ns(CLOCK_REALTIME) - instance_now_ns(w->instance) +
	       e->time_ns;
}

static const char *prefix_text(const struct watch *w, const struct flow *flow,
			       char *buf, size_t len)
{
	struct cidr cidr;

	if (flow->prefix >= w->instance->meta.max_prefixes)
		return NULL;
	cidr = prefix_cidr(&w->instance->prefixes[flow->prefix]);
	return cidr_format(&cidr, buf, len);
}

/* Milliseconds: more would pretend to an order between processors. */
static void print_clock(uint64_t ns)
{
	time_t seconds = ns / NS_PER_SEC;
	struct tm tm;

	localtime_r(&seconds, &tm);
	printf("%02d:%02d:%02d.%03u ", tm.tm_hour, tm.tm_min, tm.tm_sec,
	       (unsigned int)(ns % NS_PER_SEC / 1000000));
}

static void json_time(struct json *j, uint64_t ns)
{
	json_double(j, "time", ns / 1e9);
}

static const char *reason_name(const struct masq_event *e)
{
	return e->reason < MASQ_R_MAX ? reasons[e->reason].name : "unknown";
}

static void text_event(const struct watch *w, const struct masq_event *e,
		       const struct flow *flow)
{
	struct flow_tuple orig = flow_orig(flow);
	char src[64], dst[64], text[64], in[16];

	print_clock(event_realtime(w, e));
	printf("%s%-6s%s %-10s %-5s %s -> %s",
	       e->type == MASQ_EV_DROP ? color_red(stdout) : "",
	       event_names[e->type],
	       e->type == MASQ_EV_DROP ? color_off(stdout) : "",
	       e->type == MASQ_EV_DROP ? reason_name(e) : flow_action(flow),
	       proto_name(flow->proto, text, sizeof(text)),
	       end_text(orig.src, orig.sport, src, sizeof(src)),
	       end_text(orig.dst, orig.dport, dst, sizeof(dst)));
	if (flow->kind == MASQ_K_FWD)
		printf(" as %s", end_text(&flow->xlat, flow->xlat_port, text,
					  sizeof(text)));
	if (prefix_text(w, flow, text, sizeof(text)))
		printf(" by %s", text);
	if (e->type == MASQ_EV_END)
		printf(" after %s, out %s, in %s%s",
		       human_age(ticks_to_seconds(w->instance, flow->age), src,
				 sizeof(src)),
		       human_bytes(flow->egress.bytes, dst, sizeof(dst)),
		       human_bytes(flow->ingress.bytes, in, sizeof(in)),
		       flow->replied ? "" : ", never answered");
	putchar('\n');
}

static void json_end_of(struct json *j, const char *key,
			const struct flow_tuple *orig)
{
	char text[CIDR_STRLEN];

	json_object(j, key);
	json_string(j, "src", addr_format(orig->src, text, sizeof(text)));
	json_u64(j, "sport", orig->sport);
	json_string(j, "dst", addr_format(orig->dst, text, sizeof(text)));
	json_u64(j, "dport", orig->dport);
	json_object_end(j);
}

static void json_event(const struct watch *w, const struct masq_event *e,
		       const struct flow *flow)
{
	struct flow_tuple orig = flow_orig(flow);
	const char *prefix;
	char text[CIDR_STRLEN];
	struct json j;

	json_begin_line(&j, stdout);
	json_object(&j, NULL);
	json_time(&j, event_realtime(w, e));
	json_string(&j, "event", event_names[e->type]);
	json_string(&j, "proto", proto_name(flow->proto, text, sizeof(text)));
	json_end_of(&j, "orig", &orig);
	if (e->type == MASQ_EV_DROP) {
		json_string(&j, "reason", reason_name(e));
		json_string(&j, "direction",
			    e->direction ? "ingress" : "egress");
		goto out;
	}
	json_string(&j, "action", flow_action(flow));
	if (flow->kind == MASQ_K_FWD) {
		json_object(&j, "xlat");
		json_string(&j, "src",
			    addr_format(&flow->xlat, text, sizeof(text)));
		json_u64(&j, "sport", flow->xlat_port);
		json_object_end(&j);
	} else {
		json_null(&j, "xlat");
	}
	prefix = prefix_text(w, flow, text, sizeof(text));
	if (prefix)
		json_string(&j, "prefix", prefix);
	else
		json_null(&j, "prefix");
	if (e->type == MASQ_EV_END) {
		json_string(&j, "state", flow_state(flow));
		json_bool(&j, "replied", flow->replied);
		json_double(&j, "age_s",
			    ticks_to_seconds(w->instance, flow->age));
		json_count(&j, "egress", &flow->egress);
		json_count(&j, "ingress", &flow->ingress);
	}
out:
	json_object_end(&j);
	json_end(&j);
}

/*
 * AWS's default format, version 2: version account-id interface-id srcaddr
 * dstaddr srcport dstport protocol packets bytes start end action log-status.
 * Addresses as on the wire at the uplink, a line a direction.
 */
static void vpc_line(const struct flow *flow, bool egress, uint64_t packets,
		     const char *bytes, uint64_t start, uint64_t end,
		     const char *action)
{
	bool xlat = flow->kind == MASQ_K_FWD;
	const struct addr *near = xlat ? &flow->xlat : &flow->in;
	uint16_t near_port = xlat ? flow->xlat_port : flow->in_port;
	bool ports = flow->proto == IPPROTO_TCP || flow->proto == IPPROTO_UDP;
	char src[CIDR_STRLEN], dst[CIDR_STRLEN];

	addr_format(near, egress ? src : dst, CIDR_STRLEN);
	addr_format(&flow->rem, egress ? dst : src, CIDR_STRLEN);
	printf("2 - - %s %s %u %u %u %llu %s %llu %llu %s OK\n", src, dst,
	       !ports	? 0
	       : egress ? near_port
			: flow->rem_port,
	       !ports	? 0
	       : egress ? flow->rem_port
			: near_port,
	       flow->proto, (unsigned long long)packets, bytes,
	       (unsigned long long)start, (unsigned long long)end, action);
}

static void vpc_event(const struct watch *w, const struct masq_event *e,
		      const struct flow *flow)
{
	uint64_t end = event_realtime(w, e) / NS_PER_SEC;
	uint64_t start =
		end - (uint64_t)ticks_to_seconds(w->instance, flow->age);
	char bytes[24];

	if (e->type == MASQ_EV_DROP) {
		/* the event does not know how long the packet was */
		vpc_line(flow, !e->direction, 1, "-", end, end, "REJECT");
		return;
	}
	for (int egress = 1; e->type == MASQ_EV_END && egress >= 0; egress--) {
		const struct masq_count *count = egress ? &flow->egress
							: &flow->ingress;

		snprintf(bytes, sizeof(bytes), "%llu",
			 (unsigned long long)count->bytes);
		if (count->packets)
			vpc_line(flow, egress, count->packets, bytes, start,
				 end, "ACCEPT");
	}
}

static void show_event(struct watch *w, const struct masq_event *e)
{
	struct flow flow;

	/* what lay there before us is an earlier listener's */
	if (e->time_ns < w->start_ns || e->type >= WATCH_POLICY ||
	    !(w->events >> e->type & 1))
		return;
	flow = event_flow(e);
	if (!flow_matches(w->instance, &w->filter, &flow))
		return;
	w->shown++;
	if (w->format == JSON)
		json_event(w, e, &flow);
	else if (w->format == VPC_FLOW_LOG)
		vpc_event(w, e, &flow);
	else
		text_event(w, e, &flow);
}

/*
 * Ends the reading by an error: as long as events come faster than they are
 * printed, ring_buffer__consume would not come back to renew our place.
 */
static int on_event(void *data, void *record, size_t size)
{
	struct watch *w = data;

	if (size >= sizeof(struct masq_event))
		show_event(w, record);
	if (stopped || (w->limit && w->shown == w->limit))
		return -ECANCELED;
	return ++w->read % AT_ONCE ? 0 : -EAGAIN;
}

/* --- changes of the policy --------------------------------------------- */

static void text_change(const struct policy *to, const struct plan *plan)
{
	char range[CIDR_STRLEN], from[CIDR_STRLEN + 16], text[CIDR_STRLEN + 16];

	print_clock(to->head.applied_ns);
	printf("%spolicy%s generation %u: %zu prefix%s changed",
	       color_yellow(stdout), color_off(stdout), to->head.generation,
	       plan ? plan->change_count : to->count,
	       plan && plan->change_count == 1 ? "" : "es");
	for (size_t i = 0; plan && i < plan->dests.count && i < SHOWN_RANGES;
	     i++) {
		const struct plan_flip *flip = &plan->dests.items[i];

		printf("%s %s %s -> %s", i ? "," : ";",
		       cidr_format(&flip->range, range, sizeof(range)),
		       plan_treatment_text(&flip->from, from, sizeof(from)),
		       plan_treatment_text(&flip->to, text, sizeof(text)));
	}
	if (plan && plan->dests.count > SHOWN_RANGES)
		printf(" and %zu more ranges",
		       plan->dests.count - SHOWN_RANGES);
	putchar('\n');
}

static void json_change(const struct policy *to, const struct plan *plan)
{
	char text[CIDR_STRLEN];
	struct json j;

	json_begin_line(&j, stdout);
	json_object(&j, NULL);
	json_time(&j, to->head.applied_ns);
	json_string(&j, "event", "policy");
	json_u64(&j, "generation", to->head.generation);
	json_u64(&j, "changed", plan ? plan->change_count : to->count);
	json_array(&j, "flips");
	for (size_t i = 0; plan && i < plan->dests.count; i++) {
		const struct plan_flip *flip = &plan->dests.items[i];

		json_object(&j, NULL);
		json_string(&j, "range",
			    cidr_format(&flip->range, text, sizeof(text)));
		json_string(&j, "from", plan_action_name(flip->from.action));
		json_string(&j, "to", plan_action_name(flip->to.action));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j);
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

	if (w->policy && w->policy->head.generation == generation(w->instance))
		return 0;
	err = policy_read(w->instance, &policy);
	if (err)
		return err == -ENODATA ? 0 : err;
	err = plan_make(w->instance, w->policy ?: policy, policy, &plan);
	if (err) {
		policy_free(policy);
		return err;
	}
	if (w->policy && w->events >> WATCH_POLICY & 1) {
		w->shown++;
		if (w->format == JSON)
			json_change(policy, plan);
		else if (w->format == TEXT)
			text_change(policy, plan);
	}
	plan_free(plan);
	policy_free(w->policy);
	w->policy = policy;
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
	if (!instance_is_gone(w->instance))
		return 0;
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
		if (!err && !ring_buffer__consume(w->ring))
			nanosleep(&pause, NULL);
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
	const char *value = cmd_value(line, "format") ?: "text";

	if (line->json || !strcmp(value, "json"))
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
	.run = run,
};
