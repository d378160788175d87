// SPDX-License-Identifier: GPL-2.0-only
/*
 * apply.c - in this order, so that a kill at any point leaves a whole policy
 * in force:
 *   1. everything that can be refused is found out: slots, source addresses
 *   2. masq_meta.dirty gets the idle half's bit
 *   3. the idle half is edited: trie, descriptors, masq_snat, masq_policy,
 *      masq_ports
 *   4. masq_active is flipped
 *   5. masq_meta.dirty is cleared and the time of the flip noted
 * Then the policy goes into the history. What the other half lacks the next
 * change makes good, as it edits that one; after a large change policy_settle
 * does steps 2, 3 and 5 for it, when the command has answered.
 * A half that is found dirty and idle is emptied and filled again. A dirty
 * bit of the half in force means a kill between 4 and 5: the half is whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "plane/fit.h"
#include "policy/apply.h"
#include "policy/half.h"
#include "policy/history.h"
#include "policy/policy.h"
#include "policy/ports.h"
#include "policy/slots.h"
#include "policy/snat.h"
#include "policy/work.h"

#define NS_PER_SEC   1000000000ULL
#define MANY_CHANGES 2048

static uint64_t wall_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* --- what differs ------------------------------------------------------ */

enum difference {
	SAME,
	RELABELLED, /* origins only: same treatment, same generation */
	DIFFERENT,
};

static bool heads_differ(const struct masq_policy *a,
			 const struct masq_policy *b)
{
	struct masq_policy other = *b;

	other.generation = a->generation;
	other.applied_ns = a->applied_ns;
	other.flags = (b->flags & ~MASQ_P_RECORD) | (a->flags & MASQ_P_RECORD);
	return memcmp(a, &other, sizeof(other));
}

/*
 * Counts what one entry changes; leaves in it since when it is as it is,
 * 0 for from now on.
 */
static void compare_entry(struct work *w, struct policy_entry *entry,
			  enum difference *difference,
			  struct policy_change *change)
{
	const struct masq_prefix *prefix = &w->instance->prefixes[entry->slot];
	const struct masq_prefix_half *own = &prefix->half[w->active];
	uint8_t halves = w->want[entry->slot] & W_KEPT ? prefix->in_half : 0;
	bool stays = halves >> w->active & 1;
	uint32_t other = NO_SLOT;

	if (halves != 3)
		other = slot_find(w, &entry->cidr, entry->list, !entry->action);
	if (other != NO_SLOT)
		w->want[other] |= W_PLACE;
	if (!w->restores)
		entry->since = stays ? own->since : 0;
	if (!stays && slot_in_force(w, other))
		change->changed++;
	else if (!stays)
		change->added++;
	else if (own->snat != snat_of(w, entry))
		change->changed++;
	else if (own->line != entry->line || own->origin != entry->origin)
		*difference = RELABELLED;
}

/* Against the half in force. */
static int compare(struct work *w, enum difference *out,
		   struct policy_change *change)
{
	enum difference difference = SAME;
	uint64_t ports[MASQ_PORT_WORDS];
	int err = ports_read(w->instance, w->active, ports);

	if (err)
		return policy_fail(err, "read masq_ports");
	*change = (struct policy_change){};
	for (size_t i = 0; i < w->policy->count; i++) {
		work_prefetch(w, i);
		compare_entry(w, &w->policy->entries[i], &difference, change);
	}
	for (uint32_t slot = 0; slot < w->used; slot++)
		if (!(w->want[slot] & (W_KEPT | W_PLACE)) &&
		    slot_in_force(w, slot))
			change->removed++;
	if (memcmp(&w->meta.source[w->active], &w->policy->source,
		   sizeof(w->policy->source)))
		difference = RELABELLED;
	if (change->added || change->changed || change->removed ||
	    heads_differ(&w->policy->head, &w->head) ||
	    memcmp(ports, w->ports, sizeof(ports)))
		difference = DIFFERENT;
	*out = difference;
	return 0;
}

/* --- editing a half ---------------------------------------------------- */

/* Step 5; failing, it only makes the next apply do more than it has to. */
static void note_done(struct work *w)
{
	int err;

	w->meta.dirty = 0;
	w->instance->meta = w->meta;
	err = map_write(w->instance, MAP_masq_meta, 0, &w->meta);
	if (err)
		policy_fail(err, "write masq_meta");
}

static int switch_halves(struct work *w)
{
	int err = half_fill(w);

	if (err)
		return err;
	err = map_write(w->instance, MAP_masq_active, 0, &w->idle);
	if (err)
		return policy_fail(err, "write masq_active");
	w->meta.flipped_ns = instance_now_ns(w->instance);
	note_done(w);
	/* failing, more than those of the policy count as the node's */
	snat_nets(w, false);
	return 0;
}

static int begin(struct work *w)
{
	int err = map_read(w->instance, MAP_masq_meta, 0, &w->meta);

	err = err ?: map_read(w->instance, MAP_masq_active, 0, &w->active);
	w->active &= 1;
	w->idle = !w->active;
	err = err
		      ?: map_read(w->instance, MAP_masq_policy, w->active,
				  &w->head);
	err = err ?: snat_read(w->instance, w->snat);
	if (err)
		return policy_fail(err, "read");
	w->want = calloc(w->instance->meta.max_prefixes, sizeof(*w->want));
	w->fresh = calloc(w->policy->count + 1, sizeof(*w->fresh));
	if (!w->want || !w->fresh)
		return policy_fail(-ENOMEM, "apply");
	w->used = w->instance->meta.max_prefixes;
	while (w->used &&
	       w->instance->prefixes[w->used - 1].list == MASQ_L_FREE)
		w->used--;
	ports_set(w->ports, w->policy->head.node_port_min,
		  w->policy->head.node_port_max);
	if (w->policy->head.flags & MASQ_P_STRICT_PORTS)
		ports_set_outside(w->ports, w->policy->head.port_min,
				  w->policy->head.port_max);
	ports_set_reserved(w->ports);
	return 0;
}

static void finish(struct work *w)
{
	free(w->index);
	free(w->want);
	free(w->fresh);
	free(w->snat_slot);
}

/* `restores`: with the generation that it has, which the history knows. */
static int apply(struct instance *instance, struct policy *policy,
		 struct policy_change *change, size_t *missing, bool restores)
{
	struct work w = { .instance = instance,
			  .policy = policy,
			  .restores = restores };
	enum difference differs = SAME;
	int err = begin(&w);

	err = err ?: slots_index(&w);
	err = err ?: slots_assign(&w);
	err = err ?: snat_assign(&w);
	err = err ?: compare(&w, &differs, change);
	if (err)
		goto out;
	if (!restores) {
		policy->head.generation = w.head.generation;
		policy->head.applied_ns = w.head.applied_ns;
	}
	if (!restores && differs == DIFFERENT) {
		/* 0 means that there is no policy */
		policy->head.generation = w.head.generation + 1 ?: 1;
		policy->head.applied_ns = wall_clock_ns();
	}
	change->generation = policy->head.generation;
	for (size_t i = 0; i < policy->count; i++)
		if (!policy->entries[i].since)
			policy->entries[i].since = policy->head.generation;
	if (differs != SAME || restores)
		err = switch_halves(&w);
	/* it is in force: whatever fails from here on changes nothing of that */
	if (!err && !restores && differs == DIFFERENT)
		history_save(instance, policy, change);
out:
	*missing = w.missing;
	finish(&w);
	return err;
}

static int apply_or_grow(struct instance *instance, struct policy *policy,
			 struct policy_change *change, bool restores)
{
	size_t missing;
	int err = apply(instance, policy, change, &missing, restores);

	if (err == -ENOSPC && missing) {
		/* a new instance has twice as many slots as are asked for */
		const struct instance_options want = {
			.max_prefixes =
				(instance->meta.max_prefixes + missing) / 2 + 1
		};

		err = instance_want(instance, &want);
		err = err
			      ?: apply(instance, policy, change, &missing,
				       restores);
	}
	return err;
}

int policy_apply(struct instance *instance, struct policy *policy,
		 struct policy_change *change)
{
	return apply_or_grow(instance, policy, change, false);
}

int policy_restore(struct instance *instance, struct policy *policy)
{
	struct policy_change change;

	return apply_or_grow(instance, policy, &change, true);
}

void policy_settle(struct instance *instance, struct policy *policy,
		   const struct policy_change *change)
{
	struct work w = { .instance = instance, .policy = policy };

	if (change->added + change->removed + change->changed < MANY_CHANGES)
		return;
	/* every entry has the slot that policy_apply left in it */
	if (!begin(&w) && w.head.generation == policy->head.generation &&
	    !snat_assign(&w)) {
		for (size_t i = 0; i < policy->count; i++)
			w.want[policy->entries[i].slot] = W_KEPT;
		if (!half_fill(&w))
			note_done(&w);
	}
	finish(&w);
}
