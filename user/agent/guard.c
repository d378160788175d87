// SPDX-License-Identifier: GPL-2.0-only
/*
 * guard.c - watches over every change of the policy, whoever made it. Between
 * changes it reads two values of the maps every few seconds; after one that
 * flips a treatment it walks the flow table every two seconds, until the window
 * is over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/due.h"
#include "agent/guard.h"
#include "agent/policy.h"
#include "agent/save.h"
#include "agent/ward.h"
#include "base/log.h"
#include "kernel/podname.h"
#include "policy/apply.h"

/* Has somebody else changed the policy? */
#define CHANGED_MS 5000
/* A look costs this part of the time at most. */
#define PART 20
/* A command that watches by itself has looked within this, or is gone. */
#define TENDED_MS 15000

/* --- which generation -------------------------------------------------- */

static int read_generation(const struct agent *a, uint32_t *generation)
{
	struct masq_policy policy;
	uint32_t active;
	int err = map_read(a->instance, MAP_masq_active, 0, &active);

	err = err
		      ?: map_read(a->instance, MAP_masq_policy, active & 1,
				  &policy);
	if (!err)
		*generation = policy.generation;
	return err;
}

/* --- back -------------------------------------------------------------- */

static bool may_go_back(const struct agent *a)
{
	const struct ward *w = a->ward;
	uint64_t now = ward_now_ms(w->instance);

	return a->guard_action == GUARD_ROLLBACK &&
	       w->verdict == VIGIL_PROVEN && now <= w->state.until_ms &&
	       !(w->state.flags &
		 (WARD_ALARM_ONLY | WARD_CLI | WARD_FIRST | WARD_REFUSED));
}

static void go_back(struct agent *a)
{
	uint32_t refused = a->ward->state.generation, back = 0;
	char why[96];
	int err = agent_lock(a);

	if (err) {
		log_warn("guard: generation %u is to be taken back: %s",
			 refused, agent_why(a, err, why, sizeof(why)));
		return; /* at the next look, if it is still so */
	}
	err = ward_go_back(a->ward, &back);
	if (err) {
		instance_unlock(a->instance);
		if (err != -ESTALE)
			log_error("guard: generation %u cannot be taken back: "
				  "%s",
				  refused, strerror(-err));
		return;
	}
	log_error("guard: generation %u broke traffic and is taken back: "
		  "generation %u is generation %u again (masqbpf history %u)",
		  refused, back, a->ward->state.from, refused);
	agent_save(a);
	instance_unlock(a->instance);
	agent_ward(a, back);
	if (a->has_config && a->refused_hash &&
	    a->refused_hash == a->config_hash)
		agent_policy_refuse(a);
	a->links_due_ms = 0;
	a->foreign_due_ms = 0;
}

/* --- names --------------------------------------------------------------- */

/* Between two readings, which only an alarm that names pods makes. */
#define NAMES_MS 30000

static void read_names(struct agent *a)
{
	struct vigil_net **nets;
	size_t count = ward_broken(a->ward, &nets);
	struct cni *cni;
	int err;

	free(nets);
	if (!count || follow_now_ms() < a->names_due_ms)
		return;
	err = helper_names(&a->helper, &cni);
	if (!err)
		podname_take(cni);
	else if (err == -EPIPE)
		a->failed = err;
	else
		log_debug("guard: names of pods: %s", strerror(-err));
	a->names_due_ms = follow_now_ms() + NAMES_MS;
}

/* --- looks ------------------------------------------------------------- */

static void tell(struct agent *a)
{
	char text[sizeof(a->guard_problem)] = "", line[640], todo[128];
	struct vigil_net **nets;
	size_t count = ward_broken(a->ward, &nets);

	for (size_t i = 0; i < count && i < 3; i++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used,
			 "%sguard: generation %u broke %s", used ? "\n" : "",
			 a->ward->state.generation,
			 ward_text(a->ward, nets[i], line, sizeof(line)));
	}
	free(nets);
	if (count) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used, "%s: %s",
			 count > 3 ? " and more networks" : "",
			 ward_todo(a->ward, todo, sizeof(todo)));
	}
	if (count && !*a->guard_problem) {
		char all[sizeof(text)], *next;

		/* in the log all of it is one line */
		memcpy(all, text, sizeof(all));
		while ((next = strchr(all, '\n')))
			*next = ';';
		log_error("%s", all);
	} else if (!count && *a->guard_problem)
		log_info("guard: generation %u: answered again",
			 a->ward->state.generation);
	if (strcmp(a->guard_problem, text))
		a->verdict_known = false;
	memcpy(a->guard_problem, text, sizeof(text));
}

/* A command does it itself. */
static bool is_tended(const struct agent *a)
{
	struct ward_state state;

	return a->ward->state.flags & WARD_CLI &&
	       !ward_note(a->instance, a->ward->state.generation, &state) &&
	       ward_now_ms(a->instance) - state.tended_ms < TENDED_MS;
}

static void look(struct agent *a)
{
	uint64_t start = follow_now_ms();
	bool tended = is_tended(a), judged;
	uint32_t broken;
	int err = ward_look(a->ward, !tended);

	if (err) {
		log_warn("guard: cannot look at the flows: %s", strerror(-err));
		return;
	}
	a->guard_cost_ms = follow_now_ms() - start;
	if (may_go_back(a)) {
		go_back(a);
		return;
	}
	read_names(a);
	tell(a);
	judged = a->ward->state.flags & WARD_JUDGED;
	broken = a->ward->state.broken;
	if (!tended && ward_save(a->ward))
		log_debug("guard: the evidence could not be noted down");
	/* a reboot is to know the alarm, and that its time is over */
	if (a->save_due_ms &&
	    (broken != a->ward->state.broken ||
	     judged != !!(a->ward->state.flags & WARD_JUDGED)))
		a->save_due_ms = 1;
}

void agent_guard_update(struct agent *a)
{
	uint32_t generation = a->guard_generation, pace;

	if (!a->has_policy || follow_now_ms() < a->guard_due_ms)
		return;
	agent_renew(a);
	if (!read_generation(a, &generation) &&
	    generation != a->guard_generation) {
		bool refused = a->refused_hash;

		agent_ward(a, generation);
		/* whoever it was may not have come to it */
		if (a->save_due_ms)
			a->save_due_ms = 1;
		/* somebody has decided otherwise since */
		if (refused && !a->refused_hash && a->stale) {
			a->stale = false;
			a->reload_ok = true;
			a->config_problem[0] = '\0';
		}
	}
	a->guard_due_ms = follow_now_ms() + CHANGED_MS;
	if (!a->ward || !ward_pace_ms(a->ward) || a->guard_action == GUARD_OFF)
		return;
	if (follow_now_ms() >= a->guard_look_ms) {
		look(a);
		pace = a->ward ? ward_pace_ms(a->ward) : 0;
		if (pace < PART * a->guard_cost_ms)
			pace = PART * a->guard_cost_ms;
		a->guard_look_ms = follow_now_ms() + pace;
	}
	if (a->guard_look_ms < a->guard_due_ms)
		a->guard_due_ms = a->guard_look_ms;
}
