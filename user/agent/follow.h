/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * follow.h - when is there something new to read at a path? Knows of
 * files, not of what is in them.
 */
#ifndef MASQ_AGENT_FOLLOW_H
#define MASQ_AGENT_FOLLOW_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What tells one content of a file from another without reading it. */
struct follow_id {
	bool exists;
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t mtime_ns, ctime_ns;
};

struct follower {
	const char *path;
	int fd; /* inotify; -1: none could be had */
	int blind; /* errno that keeps events from us; 0: none does */
	int wd[2]; /* the directory of the path, that of where it leads to */
	char name[2][NAME_MAX + 1]; /* in each */
	char real[PATH_MAX];
	bool writing; /* changed, and not closed since */
	bool at_rest; /* the next look is one of the poll's */
	uint64_t due_ms; /* of the next look; 0: only the poll's */
	uint64_t poll_ms; /* of the next poll */
	uint64_t interval_ms;
	struct follow_id taken, seen;
};

uint64_t follow_now_ms(void);

/*
 * Before the start nothing was heard of the file: waits, up to timeout_ms,
 * until it is at rest or not there. True: so it is, and *out is what it was.
 */
bool follow_await(const char *path, uint64_t timeout_ms, struct follow_id *out);
/*
 * A path that is not there yet is followed as well; where the kernel has no
 * inotify left (f->blind), by looking every few seconds, until it has.
 * `known`: what follow_await told; NULL: somebody writes it.
 */
void follow_start(struct follower *f, const char *path,
		  const struct follow_id *known);
/* f->fd is readable. */
void follow_events(struct follower *f);
/* Milliseconds until follow_look is due. */
uint64_t follow_wait_ms(const struct follower *f);
/*
 * Is there something to take now: another file, other bytes, or none where
 * there was one? Only what has come to rest counts. True once per change.
 */
bool follow_look(struct follower *f);
/* The poll's interval from now on. */
void follow_interval(struct follower *f, uint64_t interval_ms);
/*
 * May what is there now be taken? If not, follow_look tells when.
 * Takes it for known then.
 */
bool follow_take(struct follower *f);

#endif
