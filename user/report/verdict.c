// SPDX-License-Identifier: GPL-2.0-only
/* verdict.c - what the maps tell. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prefix.h"
#include "plane/agent_lock.h"
#include "plane/counters.h"
#include "plane/flows.h"
#include "policy/saved.h"
#include "report/drift.h"
#include "report/verdict.h"

/* So many unanswered flows are more than somebody's dead server. */
#define UNREPLIED_FLOWS	  3
#define UNREPLIED_PERCENT 50
/* From this share on, new flows may soon be refused. */
#define FLOWS_HIGH_PERCENT 90
/* Prefixes that a line names. */
#define NAMED 4

const char *verdict_level_name(enum verdict_level level)
{
	static const char *const names[] = { "ok", "degraded", "bad" };

	return names[level];
}

int verdict_add(struct verdict *v, const char *what, enum verdict_level level,
		const char *todo, const char *fmt, ...)
{
	struct verdict_item item = { .what = what, .level = level };
	struct verdict_item *grown =
		reallocarray(v->items, v->count + 1, sizeof(*grown));
	va_list ap;
	int length;

	if (!grown)
		return -ENOMEM;
	v->items = grown;
	va_start(ap, fmt);
	length = vasprintf(&item.text, fmt, ap);
	va_end(ap);
	if (length < 0)
		return -ENOMEM;
	item.todo = todo ? strdup(todo) : NULL;
	if (todo && !item.todo) {
		free(item.text);
		return -ENOMEM;
	}
	v->items[v->count++] = item;
	if (level > v->level)
		v->level = level;
	return 0;
}

void verdict_free(struct verdict *v)
{
	for (size_t i = 0; i < v->count; i++) {
		free(v->items[i].text);
		free(v->items[i].todo);
	}
	free(v->items);
	free(v->broken);
	free(v->added);
	free(v->missing);
	*v = (struct verdict){};
}

const struct verdict_item *verdict_worst(const struct verdict *v)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->items[i].level == v->level)
			return v->level == VERDICT_OK ? NULL : &v->items[i];
	return NULL;
}

/* --- traffic ----------------------------------------------------------- */

struct counts {
	struct instance *instance;
	uint32_t *kept, *unreplied; /* by slot */
	uint32_t active; /* half */
	struct flow_tally flows;
};

static int count_flow(void *data, const struct flow *flow)
{
	struct counts *counts = data;

	flow_tally_add(&counts->flows, flow);
	if (flow->kind != MASQ_K_KEEP ||
	    flow->prefix >= counts->instance->meta.max_prefixes)
		return 0;
	counts->kept[flow->prefix]++;
	counts->unreplied[flow->prefix] += !flow->replied;
	return 0;
}

static int judge_slot(struct verdict *v, const struct counts *counts,
		      uint32_t slot)
{
	struct cidr cidr = prefix_cidr(&counts->instance->prefixes[slot]);
	char text[CIDR_STRLEN], todo[320];

	/* what hung under a policy of before hangs no more at its next try */
	if (!(counts->instance->prefixes[slot].in_half >> counts->active & 1))
		return 0;
	if (counts->unreplied[slot] < UNREPLIED_FLOWS ||
	    counts->unreplied[slot] * 100 <
		    counts->kept[slot] * UNREPLIED_PERCENT)
		return 0;
	cidr_format(&cidr, text, sizeof(text));
	snprintf(
		todo, sizeof(todo),
		"masqbpf flows --prefix %s --unreplied; masqbpf explain DEST; if they should leave as the node: masqbpf cidr add RANGE --masquerade, or masqbpf rollback",
		text);
	return verdict_add(
		v, "unreplied", VERDICT_BAD, todo,
		"%u of %u live flows by %s are kept, sent and never answered: the far side sees pods and has no way back, or refuses them",
		counts->unreplied[slot], counts->kept[slot], text);
}

static int judge_table(struct verdict *v, const struct instance *instance)
{
	const struct flow_budget *budget;
	uint32_t percent;
	int fullest = flow_tally_fullest(instance, &v->flows, &percent);

	if (percent < FLOWS_HIGH_PERCENT)
		return 0;
	budget = &flow_budgets[fullest];
	return verdict_add(v, "flows", VERDICT_DEGRADED, "raise maxFlows",
			   "the flow table is nearly full: %llu of %u IPv%d %s "
			   "flows",
			   (unsigned long long)v->flows.flows[fullest],
			   instance_flows_max(instance, budget->family),
			   budget->family, budget->name);
}

int verdict_traffic(struct verdict *v, struct instance *instance)
{
	uint32_t slots = instance->meta.max_prefixes;
	struct counts counts = {
		.instance = instance,
		.kept = calloc(slots, sizeof(uint32_t)),
		.unreplied = calloc(slots, sizeof(uint32_t)),
	};
	int err = counts.kept && counts.unreplied
			  ? flows_walk_owners(instance, count_flow, &counts)
			  : -ENOMEM;

	v->flows = counts.flows;
	err = err ?: map_read(instance, MAP_masq_active, 0, &counts.active);
	counts.active &= 1;
	for (uint32_t slot = 0; slot < slots && !err; slot++)
		if (counts.unreplied[slot])
			err = judge_slot(v, &counts, slot);
	err = err ?: judge_table(v, instance);
	free(counts.kept);
	free(counts.unreplied);
	return err;
}

int verdict_drops(struct verdict *v, const uint64_t before[MASQ_S_MAX],
		  const uint64_t now[MASQ_S_MAX])
{
	int err = 0;

	for (int i = 0; i < MASQ_R_MAX && !err; i++) {
		bool grows = now[i] > before[i];

		/* what needs nothing done is ordinary (scans, old flows) */
		if (!reasons[i].drop || !now[i] ||
		    (!grows && !*reasons[i].todo))
			continue;
		err = verdict_add(
			v, "drops",
			grows && *reasons[i].todo && i != MASQ_R_NO_FLOW &&
					i != MASQ_R_BUSY
				? VERDICT_DEGRADED
				: VERDICT_OK,
			*reasons[i].todo ? reasons[i].todo : NULL,
			"%s: %llu packet%s dropped%s: %s", reasons[i].name,
			(unsigned long long)now[i], now[i] == 1 ? "" : "s",
			grows ? ", right now too" : "", reasons[i].what);
	}
	return err;
}

/* --- the guard --------------------------------------------------------- */

/* The same for everybody, whatever his clock says now. */
static double wall_clock_of(const struct ward *w)
{
	return w->to->head.applied_ns / 1e9 +
	       (w->state.until_ms - w->state.changed_ms) / 1000.0;
}

int verdict_guard(struct verdict *v, const struct ward *w)
{
	char text[640], todo[128];
	struct vigil_net **nets;
	size_t count;
	int err = 0;

	if (!w)
		return 0;
	v->guarded = true;
	v->guard_generation = w->state.generation;
	if (w->state.flags & WARD_BACK)
		return verdict_add(
			v, "guard", VERDICT_DEGRADED,
			"change the file, or masqbpf reload",
			"generation %u broke traffic and was taken back; its "
			"file is not taken until it changes (masqbpf history "
			"%u)",
			w->state.other, w->state.other);
	v->guard_until = w->state.flags & WARD_FIRST ? 0 : wall_clock_of(w);
	ward_todo(w, todo, sizeof(todo));
	if (ward_unseen(w, text, sizeof(text)))
		err = verdict_add(v, "guard",
				  w->state.dropped ? VERDICT_BAD : VERDICT_OK,
				  todo, "generation %u: %s",
				  w->state.generation, text);
	count = ward_broken(w, &nets);
	v->broken = calloc(count + 1, sizeof(*v->broken));
	if (!v->broken)
		err = -ENOMEM;
	for (size_t i = 0; i < count && !err; i++) {
		const struct policy_entry *match =
			policy_match(w->to, &nets[i]->net);

		v->broken[v->broken_count++] = (struct verdict_broken){
			nets[i]->net, match ? match->cidr : nets[i]->net
		};
		if (i < NAMED)
			err = verdict_add(
				v, "guard", VERDICT_BAD, todo,
				"generation %u broke %s", w->state.generation,
				ward_text(w, nets[i], text, sizeof(text)));
	}
	if (count > NAMED && !err)
		err = verdict_add(v, "guard", VERDICT_BAD, todo,
				  "and %zu more networks", count - NAMED);
	free(nets);
	return err;
}

int verdict_guard_look(struct verdict *v, struct instance *instance)
{
	struct ward *w;
	int err = ward_open(instance, &w);

	if (err)
		return err == -ENOMEM ? err : 0;
	err = ward_look(w, false) ?: verdict_guard(v, w);
	ward_close(w);
	return err;
}

/* --- the agent, the file ----------------------------------------------- */

int verdict_agent(struct verdict *v, const struct instance *instance)
{
	pid_t owner = agent_lock_owner(instance);

	if (owner > 0)
		return verdict_add(v, "agent", VERDICT_OK, NULL,
				   "at work: process %d", owner);
	return verdict_add(
		v, "agent", VERDICT_OK, NULL, "%s",
		owner < 0 ? "none is at work: nobody follows the config file, "
			    "heals or watches over changes"
			  : "at work, in another container");
}

int verdict_policy(struct verdict *v, const struct instance *instance,
		   const struct policy *policy)
{
	const struct masq_source *source = &policy->source;
	char why[640];
	const char *todo;
	int err = 0;

	if (*source->preset && !*source->config_path &&
	    source->options & MASQ_SOURCE_NO_FILE)
		err = verdict_add(
			v, "policy", VERDICT_DEGRADED,
			"put the config file in its place; masqbpf plan FILE says what that changes",
			"preset %s is in force because no config file was there: destinations in its prefixes see pods' addresses",
			source->preset);
	if (!err && saved_problem(instance, why, sizeof(why), &todo))
		err = verdict_add(
			v, "saved", VERDICT_DEGRADED, todo,
			"%s: a reboot would bring back an older policy, or none",
			why);
	return err;
}

static void name_entries(const struct policy_entry *entries, size_t count,
			 const char *what, char *buf, size_t len)
{
	size_t used = strlen(buf);
	char cidr[CIDR_STRLEN];

	if (!count)
		return;
	used += snprintf(buf + used, len - used, "%s%s ", used ? "; " : "",
			 what);
	for (size_t i = 0; i < count && i < NAMED && used < len; i++)
		used += snprintf(
			buf + used, len - used, "%s%s %s", i ? ", " : "",
			cidr_format(&entries[i].cidr, cidr, sizeof(cidr)),
			entries[i].list == MASQ_L_POD
				? "pods"
				: action_name(entries[i].action));
	if (count > NAMED && used < len)
		snprintf(buf + used, len - used, " and %zu more",
			 count - NAMED);
}

int verdict_drift(struct verdict *v, struct instance *instance,
		  struct policy *policy)
{
	char text[640] = "";
	int err = drift_find(instance, policy, &v->added, &v->added_count,
			     &v->missing, &v->missing_count);

	if (err || !(v->added_count + v->missing_count))
		return err;
	name_entries(v->added, v->added_count, "runs and is not in it:", text,
		     sizeof(text));
	name_entries(v->missing, v->missing_count,
		     "is in it and does not run:", text, sizeof(text));
	return verdict_add(v, "drift", VERDICT_DEGRADED,
			   "write it into the file, or masqbpf reload makes "
			   "what runs equal to the file",
			   "%s: what runs differs: %s",
			   policy->source.config_path, text);
}

int verdict_maps(struct verdict *v, struct instance *instance,
		 struct policy *policy)
{
	return verdict_guard_look(v, instance)
		       ?: verdict_traffic(v, instance)
		       ?: policy ? verdict_policy(v, instance, policy)
					   ?: verdict_drift(v, instance, policy)
				 : 0;
}
