/* SPDX-License-Identifier: GPL-2.0-only */
/* work.h - what an apply works with, for the files that take a part of it. */
#ifndef MASQ_POLICY_WORK_H
#define MASQ_POLICY_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/instance.h"
#include "policy/policy.h"

#define BATCH 1024 /* elements that one call of the kernel takes */
#define AHEAD 16 /* entries whose slots are fetched before their turn */

/* Edits of one kind of the idle half's trie, not made yet. */
struct edits {
	struct masq_lpm_key keys[BATCH];
	struct masq_lpm_value values[BATCH];
	uint32_t count;
	bool remove;
};

/* What is wanted of a slot, by bits. */
enum {
	W_KEPT = 1, /* an entry has it, and it says so */
	W_GIVEN = 2, /* an entry gets it from another prefix, or from none */
	W_PLACE = 4, /* its prefix is wanted, with the other action */
};

struct indexed {
	uint32_t slot; /* + 1; 0: nothing here */
	uint32_t tag; /* of the hash, to look at few slots in vain */
};

/* What policy_apply works with. */
struct work {
	struct instance *instance;
	struct policy *policy;
	bool restores; /* policy_restore */
	struct masq_meta meta;
	uint32_t active, idle;
	struct masq_policy head; /* of the active half */
	struct masq_addr snat[MASQ_MAX_SNAT];
	uint64_t ports[MASQ_PORT_WORDS];
	uint16_t *snat_slot; /* by number in policy->snat */
	size_t missing; /* slots that there are too few */
	uint32_t used; /* slots from here on were never used */
	/* the used ones by prefix and list: open addressing */
	struct indexed *index;
	uint32_t index_mask;
	uint8_t *want; /* by slot: W_* */
	/* numbers of the entries that had no slot; the first ones got one */
	uint32_t *fresh;
	size_t fresh_count, handed;
	bool waited; /* the idle half has no reader left */
	struct edits edits;
};

/* Returns when no packet reads the idle half any more. */
void work_wait(struct work *w);
/* The memory of the slot of an entry that is looked at a little later. */
static inline void work_prefetch(const struct work *w, size_t entry)
{
	if (entry + AHEAD < w->policy->count)
		__builtin_prefetch(
			&w->instance->prefixes[w->policy->entries[entry + AHEAD]
						       .slot]);
}

#endif
