/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history.h - the last policies, with who made them and when. They live in a
 * map of the instance: readable by whoever may read its policy, there without
 * any process, gone with the instance.
 */
#ifndef MASQ_HISTORY_H
#define MASQ_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/instance.h"
#include "policy/history_chunks.h"
#include "policy/policy.h"

struct history_note {
	struct policy_change change; /* to the generation before */
	uint64_t applied_ns; /* CLOCK_REALTIME */
	char who[64];
	char command[192];
};

/* Notes down a policy that has just been applied; a failure is a warning. */
void history_save(struct instance *instance, const struct policy *policy,
		  const struct policy_change *change);

/* One generation. Either may be NULL. -ENOENT: it is not kept (any more). */
int history_load(const struct instance *instance, uint32_t generation,
		 struct policy **policy, struct history_note *note);

/* Is all of it there, for a rollback and for the saved file? */
bool history_is_kept(const struct instance *instance, uint32_t generation);

/* The nearest kept one at or below, at or above 1; 0: there is none. */
uint32_t history_newest(const struct instance *instance, uint32_t from);

/*
 * A generation as it is kept, for another instance; *text is malloc'ed. Written
 * is only what can be loaded: `hz` is that of the instance which it was read in.
 * As a policy, by itself: its times are in that one's ticks.
 * 0 or -errno.
 */
int history_text_read(const struct instance *instance, uint32_t generation,
		      void **text, size_t *length);
int history_text_policy(const void *text, size_t length, uint32_t generation,
			struct policy **out);
int history_text_write(const struct instance *instance, uint32_t generation,
		       const void *text, size_t length, uint32_t hz);

/*
 * Bytes that are noted beside a generation, and go with it; ward.h has them.
 * Writing replaces what is there: 0 or -errno. Reading: to be freed; -ENOENT:
 * nothing is noted; -EAGAIN: it is being written just now.
 * At most HISTORY_NOTE_MAX.
 */
/* Numbers that no generation has, for notes about none: see baseline.h, saved.h */
#define HISTORY_BASELINE 0
#define HISTORY_SAVED	 UINT32_MAX
int history_note_write(const struct instance *instance, uint32_t generation,
		       const void *bytes, size_t length);
int history_note_read(const struct instance *instance, uint32_t generation,
		      void **bytes, size_t *length);

#endif
