// SPDX-License-Identifier: GPL-2.0-only
/* ward.c - a change is watched: its begin, its looks, its way back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/lock.h"
#include "base/log.h"
#include "plane/passed.h"
#include "policy/apply.h"
#include "policy/author.h"
#include "policy/compare.h"
#include "policy/history.h"
#include "policy/read.h"
#include "policy/ward.h"
#include "policy/ward_ask.h"
#include "policy/ward_flows.h"

#define NS_PER_MS 1000000ULL

/* While something may break; when it has; of a first policy, for ever. */
#define LOOK_MS	      2000
#define LOOK_LATER_MS 10000

/* --- begin ------------------------------------------------------------- */

static bool ports_differ(const struct policy *a, const struct policy *b)
{
	return a->head.port_min != b->head.port_min ||
	       a->head.port_max != b->head.port_max ||
	       ((a->head.flags ^ b->head.flags) & MASQ_P_STRICT_PORTS);
}

/* What the records will not tell by themselves. */
static void find_unseen(struct ward *w)
{
	uint32_t was = w->from->head.flags, is = w->to->head.flags;

	w->passed = was & ~is & MASQ_P_IPV6;
	if (is & ~was & MASQ_P_IPV6)
		w->state.flags |= WARD_BLIND;
	for (size_t i = 0; i < w->plan->sources.count; i++) {
		uint8_t to = w->plan->sources.items[i].to.action;

		w->passed |= to == PLAN_UNTOUCHED;
		if (to == PLAN_DROPPED)
			w->state.flags |= WARD_DROPS;
	}
}

static int prepare(struct ward *w)
{
	int err;

	if (!w->from)
		return 0;

	w->ports = ports_differ(w->from, w->to);
	err = plan_make(w->instance, w->from, w->to, &w->plan);
	if (!err)
		find_unseen(w);
	return err;
}

static bool flips_nothing(const struct ward *w)
{
	return w->plan && !w->plan->dests.count && !w->plan->sources.count &&
	       !w->ports;
}

/* A change on top of one that is watched still: both are judged together,
 * against what was before the first of them. */
static void join(struct ward *w, const struct policy *from, uint64_t now)
{
	struct ward_state before;
	struct vigil *vigil;
	struct policy *first = NULL;

	if (ward_note_read(w->instance, from->head.generation, &before, &vigil))
		return;
	if (before.flags & (WARD_BACK | WARD_REFUSED | WARD_FIRST) ||
	    now >= before.until_ms ||
	    history_load(w->instance, before.from, &first, NULL)) {
		vigil_free(vigil);
		return;
	}
	w->from = first;
	w->state.from = before.from;
	w->state.begin = before.begin;
	w->state.flags |= WARD_ALARM_ONLY;
	vigil_free(w->vigil);
	vigil->until_ms = w->state.until_ms;
	w->vigil = vigil;
	/* what hung under the policy in between is no evidence against this */
	for (uint32_t i = 0; i < 2 * VIGIL_NETS; i++) {
		w->vigil->nets[i].try_count = 0;
		w->vigil->nets[i].answered_ms = 0;
		w->vigil->nets[i].broken = false;
	}
}

int ward_begin(struct instance *instance, struct policy *from,
	       struct policy *to, uint64_t window_ns, uint32_t flags)
{
	uint64_t now = ward_now_ms(instance);
	struct ward w = {
		.instance = instance,
		.from = from,
		.to = to,
		.state = { .generation = to->head.generation,
			   .from = from ? from->head.generation : 0,
			   .begin = to->head.generation,
			   .changed_ms = now,
			   .until_ms = now + window_ns / NS_PER_MS,
			   .flags = flags | (from ? 0 : WARD_FIRST) },
	};
	char text[320];
	int err;

	if (from && from->head.generation == to->head.generation)
		return 1;
	w.vigil = vigil_new(now, w.state.until_ms, !from);
	err = w.vigil ? 0 : -ENOMEM;
	if (!err && from)
		join(&w, from, now);
	err = err ?: prepare(&w);
	if (!err && flips_nothing(&w)) {
		/* nor does it end the watch over a first policy */
		struct ward_state before;

		if (!ward_note(instance, from->head.generation, &before) &&
		    before.flags & WARD_FIRST) {
			w.state.flags |= WARD_FIRST;
			w.state.from = 0;
		} else {
			err = 1;
		}
	}
	if (!err && !(w.state.flags & WARD_FIRST))
		err = ward_walk(&w, true) ?: ward_walk_baseline(&w);
	/* failing, attempts of those are not seen: as good as no watch */
	if (!err && w.passed) {
		err = passed_record(instance, true);
		w.state.flags |= WARD_RECORDS;
	}
	if (!err)
		err = ward_note_write(&w);
	if (!err && ward_unseen(&w, text, sizeof(text)))
		log_warn("guard: generation %u: %s", w.state.generation, text);
	if (err < 0)
		log_warn("guard: generation %u is in force and not watched: %s",
			 w.state.generation, strerror(-err));
	plan_free(w.plan);
	if (w.from != from)
		policy_free(w.from);
	vigil_free(w.vigil);
	return err;
}

/* --- watching ---------------------------------------------------------- */

void ward_close(struct ward *w)
{
	if (!w)
		return;
	for (int i = 0; i < WARD_PROBES; i++)
		if (w->probe[i].fd >= 0)
			close(w->probe[i].fd);
	plan_free(w->plan);
	policy_free(w->from);
	policy_free(w->to);
	vigil_free(w->vigil);
	free(w);
}

int ward_open(struct instance *instance, struct ward **out)
{
	struct ward *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->instance = instance;
	for (int i = 0; i < WARD_PROBES; i++)
		w->probe[i].fd = -1;
	err = policy_read(instance, &w->to);
	err = err
		      ?: ward_note_read(instance, w->to->head.generation,
					&w->state, &w->vigil);
	if (!err && !(w->state.flags & (WARD_FIRST | WARD_BACK)))
		err = history_load(instance, w->state.from, &w->from, NULL);
	if (!err && !(w->state.flags & WARD_BACK))
		err = prepare(w);
	if (err) {
		ward_close(w);
		return err;
	}
	*out = w;
	return 0;
}

int ward_evidence(struct instance *instance, uint32_t generation,
		  struct ward **out)
{
	struct ward *w = calloc(1, sizeof(*w));
	int err = w ? 0 : -ENOMEM;

	if (err)
		return err;
	w->instance = instance;
	for (int i = 0; i < WARD_PROBES; i++)
		w->probe[i].fd = -1;
	err = ward_note_read(instance, generation, &w->state, &w->vigil);
	if (err)
		ward_close(w);
	else
		*out = w;
	return err;
}

/* --- looks ------------------------------------------------------------- */

int ward_look(struct ward *w, bool probe)
{
	uint64_t now = ward_now_ms(w->instance);
	enum vigil_verdict before = w->verdict;
	int err;

	if (w->state.flags & WARD_BACK)
		return 0;
	vigil_look(w->vigil, now);
	w->routed = (struct addr){};
	err = ward_walk(w, false);
	if (err)
		return err;
	if (probe)
		ward_take_answers(w, now);
	w->verdict = vigil_judge(w->vigil);
	if (probe)
		ward_ask_more(w, now);
	if (w->verdict != before || w->state.broken != w->vigil->broken ||
	    (now >= w->state.until_ms && !(w->state.flags & WARD_JUDGED)))
		w->news = true;
	for (uint32_t i = 0; i < 2 * VIGIL_NETS && !w->news; i++)
		w->news = w->vigil->nets[i].try_count;
	return 0;
}

uint32_t ward_pace_ms(const struct ward *w)
{
	uint64_t now = ward_now_ms(w->instance);

	if (w->state.flags & WARD_BACK)
		return 0;
	for (int i = 0; i < WARD_PROBES; i++)
		if (w->probe[i].fd >= 0)
			return LOOK_MS;
	if (w->state.flags & WARD_FIRST)
		return LOOK_LATER_MS;
	if (now < w->state.until_ms || !(w->state.flags & WARD_JUDGED))
		return LOOK_MS;
	/* until it is answered again */
	return w->verdict == VIGIL_QUIET ? 0 : LOOK_LATER_MS;
}

/* Its time is over. At the next look, where somebody has the lock. */
static void end_records(struct ward *w)
{
	if (lock_take(w->instance->lock_fd, 1))
		return;
	if (ward_is_current(w) <= 0 || !passed_record(w->instance, false))
		w->state.flags &= ~WARD_RECORDS;
	instance_unlock(w->instance);
}

void ward_end(struct instance *instance)
{
	struct ward w = { .instance = instance };
	uint32_t generation;
	int err;

	/* who begins a watch or ends it has the lock */
	if (!passed_is_recorded(instance, &generation) ||
	    lock_take(instance->lock_fd, 1))
		return;
	if (!passed_is_recorded(instance, &generation))
		goto out;
	err = ward_note_read(instance, generation, &w.state, &w.vigil);
	/* without a note nobody knows what it is on for */
	if (err == -ENOENT ||
	    (!err && ward_now_ms(instance) >= w.state.until_ms)) {
		w.state.flags &= ~WARD_RECORDS;
		if (passed_record(instance, false) ||
		    (!err && ward_note_write(&w)))
			log_debug(
				"guard: records of generation %u: cannot be ended",
				generation);
	}
	vigil_free(w.vigil);
out:
	instance_unlock(instance);
}

int ward_save(struct ward *w)
{
	uint64_t now = ward_now_ms(w->instance);
	int err;

	if (!w->news)
		return 0;
	w->state.broken = w->vigil->broken;
	w->state.pods = w->vigil->proven_pods;
	if (w->verdict == VIGIL_PROVEN)
		w->state.flags |= WARD_PROVEN;
	if (now >= w->state.until_ms)
		w->state.flags |= WARD_JUDGED;
	if (w->state.flags & WARD_JUDGED && w->state.flags & WARD_RECORDS)
		end_records(w);
	err = ward_note_write(w);
	w->news = err;
	return err;
}

int ward_is_current(const struct ward *w)
{
	struct masq_policy policy;
	uint32_t active;
	int err = map_read(w->instance, MAP_masq_active, 0, &active);

	err = err
		      ?: map_read(w->instance, MAP_masq_policy, active & 1,
				  &policy);
	return err ?: policy.generation == w->state.generation;
}

/* --- back -------------------------------------------------------------- */

int ward_go_back(struct ward *w, uint32_t *generation)
{
	struct policy *running = NULL, *old = NULL;
	struct policy_change change;
	char command[160];
	struct ward back = { .instance = w->instance };
	int err = policy_read(w->instance, &running);

	if (!err && running->head.generation != w->state.generation)
		err = -ESTALE;
	err = err ?: history_load(w->instance, w->state.from, &old, NULL);
	if (err)
		goto out;
	/* an agent is not to take the file for changed, and the way back back */
	old->source.config_hash = running->source.config_hash;
	old->source.options = running->source.options;
	snprintf(command, sizeof(command),
		 "guard: back from generation %u to %u: %u network%s broken",
		 w->state.generation, w->state.from, w->vigil->broken,
		 w->vigil->broken == 1 ? "" : "s");
	author_set_command(command);
	err = policy_apply(w->instance, old, &change);
	author_set_command(NULL);
	if (err)
		goto out;
	*generation = change.generation;
	policy_settle(w->instance, old, &change);
	/* what spoke against it stays with the one that is refused */
	w->state.flags |= WARD_REFUSED | WARD_PROVEN;
	w->state.flags &= ~WARD_RECORDS; /* they ended with the policy */
	w->state.other = change.generation;
	w->news = true;
	if (ward_save(w))
		log_warn("guard: the evidence could not be kept");
	back.state = (struct ward_state){
		.generation = change.generation,
		.from = w->state.generation,
		.flags = WARD_BACK,
		.other = w->state.generation,
		.refused = running->source.config_hash,
	};
	back.vigil = vigil_new(0, 0, false);
	if (!back.vigil || ward_note_write(&back))
		log_warn("guard: generation %u: that it is a way back could "
			 "not be noted",
			 change.generation);
	vigil_free(back.vigil);
out:
	policy_free(running);
	policy_free(old);
	return err;
}
