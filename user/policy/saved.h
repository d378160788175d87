/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * saved.h - what pins lose with a reboot, in a file: the policy in force, the
 * last ones, what the guard has noted and what was answered. One file for each
 * pin directory, in /var/lib/masqbpf ($MASQBPF_STATE_DIR; "": none is kept),
 * which is root's alone. It is written as a whole and then renamed, whenever a
 * change is in force; that it cannot be is said, and ends nothing.
 * The lock of the instance is held for all that writes or removes it.
 */
#ifndef MASQ_POLICY_SAVED_H
#define MASQ_POLICY_SAVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/instance.h"
#include "policy/policy.h"

#define SAVED_DIR     "/var/lib/masqbpf"
#define SAVED_DIR_ENV "MASQBPF_STATE_DIR"

/* Where the file is; to be kept open by who cannot open it later. */
struct saved_place {
	int dir; /* -1: see err */
	int err; /* -ENOENT: nothing is kept there */
	char name[96];
	char path[512]; /* of both, for people */
};

/* `make`: the directory, where there is none. */
void saved_open(const char *pin_dir, bool make, struct saved_place *out);
void saved_close(struct saved_place *place);
/* Is one kept at all? */
bool saved_is_wanted(void);
/* Where the files are. */
const char *saved_dir(void);
/* What reading or writing one has returned, in words. */
const char *saved_why(int err);

/* What a file holds, checked as a whole. */
struct saved;
/*
 * NULL: there is nothing, or nothing that can be used, which has been said.
 * *unknown: it cannot be read now (no memory, a disk's error) or by this version,
 * so what was in force may lie there all the same: nothing is to take its place
 * by itself.
 */
struct saved *saved_read(const char *pin_dir, bool *unknown);
void saved_free(struct saved *saved);
/* The sizes of the instance that it was, where options do not say. */
void saved_sizes(const struct saved *saved, struct instance_options *options);
/*
 * The policy that would be in force again, where nothing is changed; and the
 * clock that its times are told by, for policy_from_config and plan_make: the
 * rest of *clock is empty. 0 or -errno, said.
 */
int saved_policy(const struct saved *saved, struct policy **out,
		 struct instance *clock);
/*
 * Into an instance that has no policy: history and notes, and the policy that
 * was in force is again. 0, said; or -errno, said, and there is no policy.
 */
int saved_restore(struct instance *instance, const struct saved *saved);

/* What is in force now. 0 or -errno, not printed. */
int saved_write(struct instance *instance, const struct saved_place *place);
/*
 * The same by whoever may (instance.save), with `baseline` taken anew. What
 * fails is a warning, once, and noted for saved_problem.
 */
void saved_keep(struct instance *instance, bool baseline);
/*
 * Nothing is to come back: the instance goes. 1: there was something, 0: nothing
 * that would, -errno, printed: it is there still.
 */
int saved_forget(const char *pin_dir);
/*
 * Is another generation saved than the one in force, as after a change that was
 * killed, or is about to save it, or that could not?
 */
bool saved_is_behind(const struct instance *instance);
/* Why what is in force would not outlive a reboot, and what to do; false: it
 * would. */
bool saved_problem(const struct instance *instance, char *why, size_t len,
		   const char **todo);

#endif
