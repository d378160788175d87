// SPDX-License-Identifier: GPL-2.0-only
/* watch_print.c - a line each. */
#include <string.h>
#include <time.h>
#include <arpa/inet.h>
#include "base/color.h"
#include "base/json.h"
#include "base/prefix.h"
#include "base/units.h"
#include "base/words.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "cli/watch.h"
#include "cli/watch_print.h"
#include "plane/counters.h"
#include "policy/plan.h"

#define SHOWN_RANGES 4 /* of a policy change, as text */
#define INDENT	     13 /* behind the time */

const char *const event_names[WATCH_MAX] = {
	[WATCH_NEW] = "new",
	[WATCH_END] = "end",
	[WATCH_DROP] = "drop",
	[WATCH_POLICY] = "policy",
};

uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

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
		.idle = e->type == MASQ_EV_END && e->idle <= e->age ? e->idle
								    : 0,
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

uint64_t event_realtime(const struct watch *w, const struct masq_event *e)
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
static void print_clock(FILE *out, uint64_t ns)
{
	time_t seconds = ns / NS_PER_SEC;
	struct tm tm;

	localtime_r(&seconds, &tm);
	fprintf(out, "%02d:%02d:%02d.%03u ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		(unsigned int)(ns % NS_PER_SEC / 1000000));
}

void json_time(struct json *j, uint64_t ns)
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
	char src[64], dst[64], text[64], in[16], pod[PODNAME_STRLEN];
	struct words words;
	FILE *out = words_begin(&words);

	print_clock(out, event_realtime(w, e));
	fprintf(out, "%s%-6s%s %-10s %-5s %s -> %s",
		e->type == MASQ_EV_DROP ? color_red(stdout) : "",
		event_names[e->type],
		e->type == MASQ_EV_DROP ? color_off(stdout) : "",
		e->type == MASQ_EV_DROP ? reason_name(e) : flow_action(flow),
		proto_name(flow->proto, text, sizeof(text)),
		end_text(orig.src, orig.sport, src, sizeof(src)),
		end_text(orig.dst, orig.dport, dst, sizeof(dst)));
	if (podname_known() &&
	    *podname_only(&flow->in, pod, sizeof(pod)) != '-')
		fprintf(out, " (%s)", pod);
	if (flow->kind == MASQ_K_FWD)
		fprintf(out, " as %s",
			end_text(&flow->xlat, flow->xlat_port, text,
				 sizeof(text)));
	if (prefix_text(w, flow, text, sizeof(text)))
		fprintf(out, " by %s", text);
	if (e->type == MASQ_EV_END)
		fprintf(out, " after %s, out %s, in %s%s",
			human_age(ticks_to_seconds(w->instance,
						   flow->age - flow->idle),
				  src, sizeof(src)),
			human_bytes(flow->egress.bytes, dst, sizeof(dst)),
			human_bytes(flow->ingress.bytes, in, sizeof(in)),
			flow->replied ? "" : ", never answered");
	fputc('\n', out);
	words_end(&words, stdout, INDENT);
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
	podname_json(&j, "pod", &flow->in);
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
		json_double(&j, "idle_s",
			    ticks_to_seconds(w->instance, flow->idle));
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
	uint64_t now = event_realtime(w, e) / NS_PER_SEC;
	uint64_t start =
		now - (uint64_t)ticks_to_seconds(w->instance, flow->age);
	/* that of the last packet, not of when its record went */
	uint64_t end =
		now - (uint64_t)ticks_to_seconds(w->instance, flow->idle);
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

void show_event(struct watch *w, const struct masq_event *e)
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

void text_change(const struct policy *to, const struct plan *plan)
{
	char range[CIDR_STRLEN], from[2 * CIDR_STRLEN], text[2 * CIDR_STRLEN];
	struct words words;
	FILE *out = words_begin(&words);

	print_clock(out, to->head.applied_ns);
	fprintf(out, "%spolicy%s generation %u: %zu prefix%s changed",
		color_yellow(stdout), color_off(stdout), to->head.generation,
		plan ? plan->change_count : to->count,
		plan && plan->change_count == 1 ? "" : "es");
	for (size_t i = 0; plan && i < plan->dests.count && i < SHOWN_RANGES;
	     i++) {
		const struct plan_flip *flip = &plan->dests.items[i];

		fprintf(out, "%s %s %s -> %s", i ? "," : ";",
			cidr_format(&flip->range, range, sizeof(range)),
			plan_treatment_text(&flip->from, from, sizeof(from)),
			plan_treatment_text(&flip->to, text, sizeof(text)));
	}
	if (plan && plan->dests.count > SHOWN_RANGES)
		fprintf(out, " and %zu more ranges",
			plan->dests.count - SHOWN_RANGES);
	fputc('\n', out);
	words_end(&words, stdout, INDENT);
}

void json_change(const struct policy *to, const struct plan *plan)
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
