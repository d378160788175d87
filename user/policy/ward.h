/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ward.h - the guard of a change: what was answered before it is noted down
 * beside the generation (history.h), where it outlives whoever made the change
 * and whoever watches; the flow table says what became of it since; vigil.h
 * judges. Anybody who may read the instance can look; one process at a time,
 * the agent or a command with --guard, keeps the notes and goes back.
 */
#ifndef MASQ_POLICY_WARD_H
#define MASQ_POLICY_WARD_H

#include "policy/ward_notes.h"
#include "policy/ward_state.h"
#include "policy/ward_words.h"

/*
 * A policy has just been applied, `change` says how; `from`: what ran before,
 * NULL: nothing. Notes down what was answered, if any treatment flips. The
 * instance's lock is held. 0; 1: nothing to watch; -errno: nobody watches, and
 * that is said.
 */
int ward_begin(struct instance *instance, struct policy *from,
	       struct policy *to, uint64_t window_ns, uint32_t flags);
/*
 * The ward of the policy that runs. 0, and ward_close it; -ENOENT: nothing is
 * watched; -ENODATA: no policy.
 */
int ward_open(struct instance *instance, struct ward **out);
void ward_close(struct ward *ward);
/* As it is noted, of any generation that is kept, for people: no look is taken,
 * and from, to are NULL. */
int ward_evidence(struct instance *instance, uint32_t generation,
		  struct ward **out);
/*
 * One look at the flow table. `probe`: questions as the node are asked, and
 * their answers taken. 0 or -errno.
 */
int ward_look(struct ward *ward, bool probe);
/* Is there something to look for, soon? Milliseconds from look to look; 0: no. */
uint32_t ward_pace_ms(const struct ward *ward);
/* Notes down what the looks have shown, if it is new. */
int ward_save(struct ward *ward);
/*
 * What passes untouched has records no longer, where a watch's time is over and
 * whoever kept it has not come to say so: a command that was killed, or one
 * without an agent and without --guard. Takes the lock, if it is free at once.
 */
void ward_end(struct instance *instance);

/* Is it the policy that runs? -errno: it cannot be known. */
int ward_is_current(const struct ward *ward);
/*
 * Makes the policy before the change the running one again, under the lock
 * that the caller holds. *generation: what that is. -ESTALE: another change
 * has come in between; else 0 or -errno, printed.
 */
int ward_go_back(struct ward *ward, uint32_t *generation);

#endif
