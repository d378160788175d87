// SPDX-License-Identifier: GPL-2.0-only
/* plan_probe.c - one attempt for each destination, all of them at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include "base/color.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/table.h"
#include "cli/plan_probe.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "plane/inside.h"
#include "plane/node.h"
#include "plane/trial.h"
#include "policy/live.h"
#include "report/reach.h"

/* With what it takes to find neighbours: five seconds in all. */
#define TIMEOUT_MS 4500

/* A destination that has flows, and what they are like. */
struct place {
	struct addr dest, pod;
	uint16_t port;
	uint8_t proto; /* as in struct trial */
	uint64_t flows, replied;
	struct plan_treatment to;
};

struct plan_probe {
	struct place *places;
	size_t count, all; /* tried; with flows */
	struct trial trials[PLAN_PROBE_MAX];
	size_t broken;
};

struct plan_probe *plan_probe_new(void)
{
	return calloc(1, sizeof(struct plan_probe));
}

void plan_probe_free(struct plan_probe *probe)
{
	if (probe)
		free(probe->places);
	free(probe);
}

int plan_probe_add(struct plan_probe *probe, struct plan *plan,
		   const struct flow *flow)
{
	struct place place = {
		.dest = flow->rem,
		.pod = flow->in,
		.port = flow->rem_port,
		.proto = proto_is_icmp(flow->proto) ? IPPROTO_ICMP
						    : flow->proto,
		.flows = 1,
		.replied = flow->replied,
	};
	struct plan_flow flips;
	size_t n = probe->count;

	if ((place.proto != IPPROTO_TCP && place.proto != IPPROTO_UDP &&
	     place.proto != IPPROTO_ICMP) ||
	    !plan_flow_flips(plan, flow, &flips))
		return 0;
	place.to = flips.to;
	if (place.proto == IPPROTO_ICMP)
		place.port = 0;
	if (!(n & (n - 1))) {
		size_t room = n ? 2 * n : 1;
		void *places = reallocarray(probe->places, room, sizeof(place));

		if (!places)
			return -ENOMEM;
		probe->places = places;
	}
	probe->places[probe->count++] = place;
	return 0;
}

/* --- which ones -------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = addr_cmp(&x->dest, &y->dest);

	if (order)
		return order;
	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->to.action != y->to.action)
		return x->to.action < y->to.action ? -1 : 1;
	return addr_cmp(&x->pod, &y->pod);
}

/* Those that are answered today say most, and TCP says more than the rest. */
static int by_worth(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (!x->replied != !y->replied)
		return x->replied ? -1 : 1;
	if ((x->proto == IPPROTO_UDP) != (y->proto == IPPROTO_UDP))
		return x->proto == IPPROTO_UDP ? 1 : -1;
	if (x->flows != y->flows)
		return x->flows > y->flows ? -1 : 1;
	return by_place(a, b);
}

/* One of each destination, protocol and port; then one of each destination. */
static void choose(struct plan_probe *probe)
{
	struct place *list = probe->places;
	size_t kept = 0;

	if (probe->count)
		qsort(list, probe->count, sizeof(*list), by_place);
	for (size_t i = 0; i < probe->count; i++) {
		struct place *last = kept ? &list[kept - 1] : NULL;

		if (last && addr_equal(&last->dest, &list[i].dest) &&
		    last->proto == list[i].proto &&
		    last->port == list[i].port &&
		    last->to.action == list[i].to.action) {
			last->flows += list[i].flows;
			last->replied += list[i].replied;
		} else {
			list[kept++] = list[i];
		}
	}
	if (kept)
		qsort(list, kept, sizeof(*list), by_worth);
	probe->all = kept;
	probe->count = kept < PLAN_PROBE_MAX ? kept : PLAN_PROBE_MAX;
}

/* --- trying them ------------------------------------------------------------- */

static int ask(struct trial *t, const struct place *place,
	       const uint32_t *uplinks, size_t count)
{
	struct way own;

	*t = (struct trial){
		.dest = place->dest,
		.proto = place->proto,
		.port = place->port,
		.as_pod = place->to.action == PLAN_KEEP,
		.pod = place->pod,
		.device = inside_device(&place->pod, &place->dest, uplinks,
					count),
	};
	if (!t->device)
		return -ENODEV;
	if (t->as_pod)
		t->source = place->pod;
	else if (place->to.snat) /* of several one speaks for all */
		t->source = place->to.snat->range[0].first;
	else if (way_find(&place->dest, &place->pod, t->device, &own) ||
		 !way_source(&own, place->dest.family, &t->source))
		return -EADDRNOTAVAIL;
	return 0;
}

/* Would those who are answered today not be any more? */
static bool breaks(const struct place *place, const struct trial *t)
{
	if (!place->replied)
		return false;
	switch (t->reply.answer) {
	case TRIAL_NOTHING:
		return place->proto != IPPROTO_UDP;
	case TRIAL_RESET:
	case TRIAL_NO_WAY:
		return true;
	case TRIAL_REFUSED:
		/* an empty datagram to a port that listens is no error */
		return true;
	default:
		return false;
	}
}

static void show_progress(void *data, size_t done)
{
	progress_to(data, done);
}

int plan_probe_run(struct plan_probe *probe, struct instance *instance,
		   struct plan *plan)
{
	struct trial chosen[PLAN_PROBE_MAX];
	size_t order[PLAN_PROBE_MAX], tried = 0, count = 0;
	uint32_t *uplinks = NULL;
	struct progress progress;
	int err = node_uplinks(instance, &uplinks, &count);

	if (err)
		return err;
	choose(probe);
	for (size_t i = 0; i < probe->count; i++) {
		struct trial *t = &probe->trials[i];

		err = ask(t, &probe->places[i], uplinks, count);
		if (err) {
			t->reply.answer = TRIAL_NOT_TRIED;
			t->err = err;
			continue;
		}
		order[tried] = i;
		chosen[tried++] = *t;
	}
	free(uplinks);
	if (!tried)
		return 0;
	progress_begin(&progress, "probed", "destinations", tried);
	err = trials_run(instance, chosen, tried, TIMEOUT_MS, show_progress,
			 &progress);
	progress_end(&progress);
	if (err)
		return err;
	for (size_t i = 0; i < tried; i++)
		probe->trials[order[i]] = chosen[i];
	for (size_t i = 0; i < probe->count && !err; i++) {
		const struct place *place = &probe->places[i];
		char end[END_STRLEN], answer[REACH_STRLEN];

		if (!breaks(place, &probe->trials[i]))
			continue;
		probe->broken++;
		end_text(&place->dest, place->port, end, sizeof(end));
		err = plan_warn(
			plan,
			"%s: would break: probed as %s it gets %s; %llu live flow%s go%s there",
			end, plan_action_name(place->to.action),
			reach_answer(&probe->trials[i], answer, sizeof(answer)),
			(unsigned long long)place->flows,
			place->flows == 1 ? "" : "s",
			place->flows == 1 ? "es" : "");
	}
	return err;
}

/* --- answering --------------------------------------------------------------- */

static const char *outcome(const struct plan_probe *probe, size_t i)
{
	const struct place *place = &probe->places[i];
	const struct trial *t = &probe->trials[i];

	if (breaks(place, t))
		return "would break";
	if (t->reply.answer == TRIAL_OPEN)
		return "works";
	return place->replied ? "not known" : "not answered today either";
}

void plan_probe_json(const struct plan_probe *probe, struct json *j)
{
	char text[REACH_STRLEN];

	json_array(j, "probes");
	for (size_t i = 0; i < probe->count; i++) {
		const struct place *place = &probe->places[i];
		const struct trial *t = &probe->trials[i];

		json_object(j, NULL);
		json_string(j, "destination",
			    addr_format(&place->dest, text, sizeof(text)));
		if (place->port)
			json_u64(j, "port", place->port);
		else
			json_null(j, "port");
		json_string(j, "proto",
			    proto_name(place->proto, text, sizeof(text)));
		json_string(j, "pod",
			    addr_format(&place->pod, text, sizeof(text)));
		podname_json(j, "pod_name", &place->pod);
		json_string(j, "to", plan_action_name(place->to.action));
		json_u64(j, "live_flows", place->flows);
		json_bool(j, "answered_today", place->replied);
		if (t->reply.answer == TRIAL_NOT_TRIED ||
		    t->reply.answer == TRIAL_BUSY)
			json_null(j, "answered");
		else
			json_bool(j, "answered", reach_is_answer(t));
		json_string(j, "answer", reach_answer(t, text, sizeof(text)));
		json_bool(j, "breaks", breaks(place, t));
		json_object_end(j);
	}
	json_array_end(j);
	json_u64(j, "would_break", probe->broken);
}

void plan_probe_text(const struct plan_probe *probe)
{
	static const char *const headers[] = { "  PROBED", "PROTO", ">FLOWS",
					       "AS",	   "",	    "ANSWER",
					       NULL };
	char text[REACH_STRLEN];
	struct table *t;

	putchar('\n');
	if (!probe->count) {
		printf("Nothing to probe: no live flows in ranges that flip.\n");
		return;
	}
	t = table_new(headers);
	for (size_t i = 0; i < probe->count; i++) {
		const struct place *place = &probe->places[i];

		table_cell(t, "  %s",
			   end_text(&place->dest, place->port, text,
				    sizeof(text)));
		table_cell(t, "%s",
			   proto_name(place->proto, text, sizeof(text)));
		table_cell(t, "%llu", (unsigned long long)place->flows);
		table_cell(t, "%s", plan_action_name(place->to.action));
		table_cell(t, "%s", outcome(probe, i));
		table_cell(t, "%s",
			   reach_answer(&probe->trials[i], text, sizeof(text)));
		table_row_end(t);
	}
	table_print(t, stdout);
	if (probe->all > probe->count)
		printf("  ... and %zu more that were not probed (%d at most)\n",
		       probe->all - probe->count, PLAN_PROBE_MAX);
}
