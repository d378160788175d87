/* SPDX-License-Identifier: GPL-2.0-only */
/* ward_notes.h - what is noted of a generation, beside it in the history. */
#ifndef MASQ_POLICY_WARD_NOTES_H
#define MASQ_POLICY_WARD_NOTES_H

#include "policy/ward_state.h"

/* CLOCK_MONOTONIC as the programs see it: nobody sets it. */
uint64_t ward_now_ms(const struct instance *instance);

/* What is known of it now. 0 or -errno. */
int ward_note_write(struct ward *ward);
/*
 * *vigil: vigil_free it; `vigil` NULL: the state alone. 0; -ENOENT: nothing that
 * this version knows; -errno.
 */
int ward_note_read(const struct instance *instance, uint32_t generation,
		   struct ward_state *state, struct vigil **vigil);
/* Its networks, those in trouble first. malloc'ed; NULL: no memory. */
struct vigil_net **ward_nets(const struct ward *ward, size_t *count);
/* Only what is noted of a generation. 0 or -errno. */
int ward_note(const struct instance *instance, uint32_t generation,
	      struct ward_state *out);

/*
 * What was noted at then_ms of a clock that has begun anew since: on the clock
 * of now. `runs`: it is the generation in force. 0 or -errno.
 */
int ward_rebase(struct instance *instance, uint32_t generation,
		uint64_t then_ms, bool runs);

#endif
