// SPDX-License-Identifier: GPL-2.0-only
/* slots.c - found by prefix, handed out in order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "plane/flows.h"
#include "policy/policy.h"
#include "policy/slots.h"

#define FIRST_FREE_SLOT 2 /* 0 and 1: 0.0.0.0/0 and ::/0 masquerade */

static bool same_place(const struct masq_prefix *prefix,
		       const struct cidr *cidr, uint8_t list)
{
	return prefix->list == list && prefix->plen == cidr->plen &&
	       prefix->family == cidr->addr.family &&
	       !memcmp(prefix->addr, cidr->addr.a, sizeof(prefix->addr));
}

static bool describes(const struct masq_prefix *prefix,
		      const struct policy_entry *entry)
{
	return prefix->action == entry->action &&
	       same_place(prefix, &entry->cidr, entry->list);
}

static uint64_t hash_place(const __be32 a[4], uint8_t family, uint8_t plen,
			   uint8_t list)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t h = (uint64_t)family << 16 | plen << 8 | list;

	for (int i = 0; i < (family == 4 ? 1 : 4); i++) {
		h = (h ^ a[i]) * odd;
		h ^= h >> 32;
	}
	return h * odd;
}

int slots_index(struct work *w)
{
	uint32_t size = 2;

	while (size < 2 * w->used)
		size *= 2;
	w->index = calloc(size, sizeof(*w->index));
	w->index_mask = size - 1;
	if (!w->index)
		return policy_fail(-ENOMEM, "apply");

	for (uint32_t slot = 0; slot < w->used; slot++) {
		const struct masq_prefix *p = &w->instance->prefixes[slot];
		uint64_t h = hash_place(p->addr, p->family, p->plen, p->list);
		uint32_t at = h >> 32;

		if (p->list == MASQ_L_FREE)
			continue;
		while (w->index[at & w->index_mask].slot)
			at++;
		w->index[at & w->index_mask] =
			(struct indexed){ .slot = slot + 1, .tag = h };
	}
	return 0;
}

uint32_t slot_find(const struct work *w, const struct cidr *cidr, uint8_t list,
		   uint8_t action)
{
	uint64_t h =
		hash_place(cidr->addr.a, cidr->addr.family, cidr->plen, list);

	for (uint32_t at = h >> 32;; at++) {
		const struct indexed *indexed = &w->index[at & w->index_mask];
		uint32_t slot = indexed->slot - 1;

		if (slot == NO_SLOT)
			return NO_SLOT;
		if (indexed->tag == (uint32_t)h &&
		    w->instance->prefixes[slot].action == action &&
		    same_place(&w->instance->prefixes[slot], cidr, list))
			return slot;
	}
}

/* The slot that a built-in /0 entry has in every instance. */
static uint32_t fixed_slot(const struct policy_entry *entry)
{
	if (entry->list != MASQ_L_DST || entry->cidr.plen ||
	    entry->action != MASQ_MASQUERADE)
		return NO_SLOT;
	return entry->cidr.addr.family == 4 ? 0 : 1;
}

bool slot_in_force(const struct work *w, uint32_t slot)
{
	return slot != NO_SLOT &&
	       w->instance->prefixes[slot].in_half >> w->active & 1;
}

/* Hands free slots to the entries that have none; returns how many stay. */
static size_t hand_out(struct work *w, const uint32_t *live)
{
	uint32_t max = w->instance->meta.max_prefixes, slot = FIRST_FREE_SLOT;

	for (; w->handed < w->fresh_count; w->handed++) {
		for (; slot < max; slot++) {
			bool unused = w->instance->prefixes[slot].list ==
				      MASQ_L_FREE;

			if (w->want[slot] || slot_in_force(w, slot))
				continue;
			if (live ? !live[slot] : unused)
				break;
		}
		if (slot == max)
			break;
		w->policy->entries[w->fresh[w->handed]].slot = slot;
		w->want[slot] = W_GIVEN;
	}
	return w->fresh_count - w->handed;
}

/*
 * The slots that the entries `from` to `to` (AHEAD at most) have or had. In
 * three rounds, so that what each of them waits for in memory comes at once.
 */
static void find_slots(struct work *w, uint32_t from, uint32_t to)
{
	const struct indexed *at[AHEAD];
	uint32_t slot;

	for (uint32_t i = from; i < to; i++) {
		const struct policy_entry *entry = &w->policy->entries[i];
		uint64_t h = hash_place(entry->cidr.addr.a,
					entry->cidr.addr.family,
					entry->cidr.plen, entry->list);

		at[i - from] = &w->index[h >> 32 & w->index_mask];
		__builtin_prefetch(at[i - from]);
	}
	for (uint32_t i = from; i < to; i++)
		if (at[i - from]->slot)
			__builtin_prefetch(
				&w->instance->prefixes[at[i - from]->slot - 1]);
	for (uint32_t i = from; i < to; i++) {
		struct policy_entry *entry = &w->policy->entries[i];

		slot = fixed_slot(entry);
		if (slot == NO_SLOT)
			slot = slot_find(w, &entry->cidr, entry->list,
					 entry->action);
		entry->slot = slot;
		if (slot == NO_SLOT)
			w->fresh[w->fresh_count++] = i;
		else if (describes(&w->instance->prefixes[slot], entry))
			w->want[slot] = W_KEPT;
		else
			w->want[slot] = W_GIVEN;
	}
}

int slots_assign(struct work *w)
{
	struct policy *policy = w->policy;
	uint32_t max = w->instance->meta.max_prefixes, *live;
	size_t missing;
	int err;

	for (uint32_t i = 0; i < policy->count; i += AHEAD)
		find_slots(w, i,
			   i + AHEAD < policy->count ? i + AHEAD
						     : policy->count);
	if (!hand_out(w, NULL))
		return 0;

	/* a packet that reads the idle half could still make a flow there */
	work_wait(w);
	live = calloc(max, sizeof(*live));
	if (!live)
		return policy_fail(-ENOMEM, "apply");
	err = flows_count_prefixes(w->instance, live);
	if (err) {
		policy_fail(err, "count the flows of removed prefixes");
	} else {
		missing = hand_out(w, live);
		if (missing) {
			/* policy_apply makes room, and comes again */
			w->missing = missing;
			err = -ENOSPC;
		}
	}
	free(live);
	return err;
}
