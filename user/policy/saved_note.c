// SPDX-License-Identifier: GPL-2.0-only
/*
 * saved_note.c - whether what is in force is saved, as the history notes it
 * beside the policies: by whoever saved last, for whoever asks later.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/lock.h"
#include "base/log.h"
#include "policy/baseline.h"
#include "policy/history.h"
#include "policy/read.h"
#include "policy/saved.h"

/* How the last writing went: a note of HISTORY_SAVED. */
struct saved_note {
	int32_t err;
	char path[256];
	uint32_t generation; /* that is written; 0: not noted (older ones) */
};

static int write_here(struct instance *instance)
{
	struct saved_place place;
	int err;

	saved_open(instance->pin_dir, true, &place);
	err = saved_write(instance, &place);
	saved_close(&place);
	return err;
}

static int read_note(const struct instance *instance, struct saved_note *out)
{
	void *bytes;
	size_t length;
	int err = history_note_read(instance, HISTORY_SAVED, &bytes, &length);

	if (err)
		return err;
	*out = (struct saved_note){};
	err = length == sizeof(*out) ||
			      length == offsetof(struct saved_note, generation)
		      ? 0
		      : -ENOENT;
	if (!err) {
		memcpy(out, bytes, length);
		out->path[sizeof(out->path) - 1] = '\0';
	}
	free(bytes);
	return err;
}

/* The generation that runs; 0: none, or it cannot be read. */
static uint32_t in_force(const struct instance *instance)
{
	struct masq_policy policy;
	uint32_t active;

	return map_read(instance, MAP_masq_active, 0, &active) ||
			       map_read(instance, MAP_masq_policy, active & 1,
					&policy)
		       ? 0
		       : policy.generation;
}

/*
 * What is in force has its text in the history, which a rollback needs, and the
 * file is made of. Who was killed behind the switch has not come to that; what
 * was too large is so the next time.
 */
static void keep_text(struct instance *instance,
		      const struct saved_note *before)
{
	const uint32_t generation = in_force(instance);
	const struct policy_change none = { .generation = generation };
	struct policy *policy = NULL;

	if (before->err == -EFBIG || !generation ||
	    history_is_kept(instance, generation))
		return;
	if (!policy_read(instance, &policy))
		history_save(instance, policy, &none);
	policy_free(policy);
}

void saved_keep(struct instance *instance, bool baseline)
{
	struct saved_note before = {}, note = {};
	int err = read_note(instance, &before);

	keep_text(instance, &before);
	if (!saved_is_wanted())
		return;
	if (baseline && baseline_take(instance))
		log_debug("guard: what is answered now could not be noted");
	note.err = instance->save ? instance->save(instance, instance->fit_data)
				  : write_here(instance);
	/* nobody knows: whoever does it is at something else, or gone */
	if (note.err == -ECANCELED || note.err == -EPIPE)
		return;
	snprintf(note.path, sizeof(note.path), "%s", saved_dir());
	note.generation = note.err ? before.generation : in_force(instance);
	if (!err && before.err == note.err && !strcmp(before.path, note.path) &&
	    before.generation == note.generation)
		return;
	if (note.err &&
	    (before.err != note.err || strcmp(before.path, note.path)))
		log_warn("%s: cannot be written: %s: a reboot would bring back "
			 "an older policy, or none",
			 note.path, saved_why(note.err));
	history_note_write(instance, HISTORY_SAVED, &note, sizeof(note));
}

/* *note: what is noted, {} where that cannot be read. */
static bool is_behind(const struct instance *instance, struct saved_note *note)
{
	uint32_t generation = in_force(instance);
	int err;

	*note = (struct saved_note){};
	err = read_note(instance, note);

	if (err == -ENOENT) { /* not even the first was */
		snprintf(note->path, sizeof(note->path), "%s", saved_dir());
		return generation != 0;
	}
	return !err && !note->err && note->generation && generation &&
	       note->generation != generation;
}

bool saved_is_behind(const struct instance *instance)
{
	struct saved_note note;

	return saved_is_wanted() && (is_behind(instance, &note) || note.err);
}

/* Whoever has the lock, be it ourselves, may be about to save it. */
static bool is_at_work(const struct instance *instance)
{
	int fd = openat(instance->lock_fd, ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool held = fd < 0 || lock_is_held(fd);

	if (fd >= 0)
		close(fd);
	return held;
}

bool saved_problem(const struct instance *instance, char *text, size_t len,
		   const char **todo)
{
	struct saved_note note;

	*todo = "mount or mend it: it has to be root's, mode 0700";
	if (!saved_is_wanted())
		return false;
	if (!read_note(instance, &note) && note.err) {
		snprintf(text, len, "%s: cannot be written: %s", note.path,
			 saved_why(note.err));
	} else if (is_behind(instance, &note) && !is_at_work(instance) &&
		   is_behind(instance, &note)) {
		char has[32] = "has nothing";

		if (note.generation)
			snprintf(has, sizeof(has), "has generation %u",
				 note.generation);
		snprintf(text, len,
			 "%s: %s and not what is in force: who changed it was "
			 "ended, or of a version that does not save",
			 note.path, has);
		*todo = "masqbpf attach or any change writes it";
	} else {
		return false;
	}
	return true;
}
