// SPDX-License-Identifier: GPL-2.0-only
/*
 * agent_follow.c - follows a path by inotify on directories, so that a file
 * that is replaced, or is not there yet, is followed as well: an editor's
 * rename, a rewrite in place, the ..data link that kubelet swaps.
 *
 * A truncated YAML list is a valid YAML list, so content says nothing about
 * whether a writer is done. What does: he has closed the file or moved it
 * into place, and then a while has passed. Where events do not reach (NFS, a
 * subPath mount) or the file stays open, there is a poll, and it takes only
 * what has not changed since the poll before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "agent_follow.h"
#include "out.h"

/* After the last event: several steps of an editor or script are one change. */
#define QUIET_MS 300
/* After a rename, which brings a whole file. */
#define RENAME_QUIET_MS 50
/* A poll's finding is looked at again after this, and never sooner. */
#define REST_MS 1000

#define EVENTS                                                    \
	(IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO |   \
	 IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

/* What kubelet swaps to replace all files of a volume at once. */
#define KUBELET_LINK "..data"

uint64_t follow_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static struct follow_id look_at(const char *path)
{
	struct follow_id id = {};
	struct stat st;

	if (stat(path, &st))
		return id;
	id.exists = true;
	id.dev = st.st_dev;
	id.ino = st.st_ino;
	id.size = st.st_size;
	id.mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	id.ctime_ns = st.st_ctim.tv_sec * 1000000000LL + st.st_ctim.tv_nsec;
	return id;
}

static bool same(const struct follow_id *a, const struct follow_id *b)
{
	return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino &&
	       a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns;
}

/*
 * Watches the directory that a path lies in; where there is none, the nearest
 * above, in which it has to appear.
 */
static void watch(struct follower *f, int i, const char *path)
{
	char dir[PATH_MAX], *slash;

	snprintf(dir, sizeof(dir), "%s%s", *path == '/' ? "" : "./", path);
	do {
		slash = strrchr(dir, '/');
		*slash = '\0';
		snprintf(f->name[i], sizeof(f->name[i]), "%s", slash + 1);
		/* the same directory again gives the same number */
		f->wd[i] = inotify_add_watch(f->fd, *dir ? dir : "/", EVENTS);
	} while (f->wd[i] < 0 && errno == ENOENT && strchr(dir, '/'));
}

/* Where the path leads to may have changed with any of its links. */
static void watch_both(struct follower *f)
{
	int first = f->wd[0], old = f->wd[1];
	char real[PATH_MAX];

	watch(f, 0, f->path);
	if (first >= 0 && first != f->wd[0] && first != old)
		inotify_rm_watch(f->fd, first);
	if (!realpath(f->path, real) || !strcmp(real, f->real))
		return;
	memcpy(f->real, real, sizeof(f->real));
	watch(f, 1, f->real);
	if (old >= 0 && old != f->wd[0] && old != f->wd[1])
		inotify_rm_watch(f->fd, old);
}

int follow_start(struct follower *f, const char *path)
{
	*f = (struct follower){ .path = path, .wd = { -1, -1 } };
	f->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->fd < 0) {
		int err = -errno;

		log_error("%s: cannot watch: %s", path, strerror(-err));
		return err;
	}
	follow_interval(f, 60000);
	follow_take(f);
	return 0;
}

void follow_interval(struct follower *f, uint64_t interval_ms)
{
	f->interval_ms = interval_ms < REST_MS ? REST_MS : interval_ms;
	f->poll_ms = follow_now_ms() + f->interval_ms;
}

void follow_take(struct follower *f)
{
	watch_both(f);
	f->taken = f->seen = look_at(f->path);
	f->due_ms = 0;
}

/* A link comes whole, a file is written after it was made. */
static bool is_new_file(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISREG(st.st_mode);
}

static void note_event(struct follower *f, const struct inotify_event *event)
{
	bool ours = !event->len;

	if (event->mask & IN_IGNORED) /* a watch that is no more */
		return;
	for (int i = 0; i < 2 && !ours; i++)
		ours = event->wd == f->wd[i] &&
		       (!strcmp(event->name, f->name[i]) ||
			!strcmp(event->name, KUBELET_LINK));
	if (!ours && !(event->mask & IN_Q_OVERFLOW))
		return;
	if (event->mask & IN_MODIFY ||
	    (event->mask & IN_CREATE && is_new_file(f->path)))
		f->writing = true;
	if (event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE |
			   IN_MOVED_FROM | IN_Q_OVERFLOW))
		f->writing = false;
	f->at_rest = false;
	f->due_ms = follow_now_ms() +
		    (event->mask & IN_MOVED_TO ? RENAME_QUIET_MS : QUIET_MS);
}

void follow_events(struct follower *f)
{
	char buffer[4096]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while ((n = read(f->fd, buffer, sizeof(buffer))) > 0) {
		const struct inotify_event *event;

		for (char *at = buffer; at < buffer + n;
		     at += sizeof(*event) + event->len) {
			event = (const void *)at;
			note_event(f, event);
		}
	}
}

uint64_t follow_wait_ms(const struct follower *f)
{
	uint64_t now = follow_now_ms(), at = f->poll_ms;

	if (f->due_ms && f->due_ms < at)
		at = f->due_ms;
	return at > now ? at - now : 0;
}

/* A look that a poll began: is it as the poll before saw it? */
static bool look_at_rest(struct follower *f, const struct follow_id *now)
{
	if (same(now, &f->seen))
		return true;
	f->seen = *now;
	/* a file that is open for writing gets a whole interval */
	f->due_ms = f->writing ? 0 : follow_now_ms() + REST_MS;
	f->at_rest = true;
	return false;
}

bool follow_look(struct follower *f)
{
	uint64_t now_ms = follow_now_ms();
	bool due = f->due_ms && now_ms >= f->due_ms;
	bool poll = now_ms >= f->poll_ms;
	int wd = f->wd[0];
	struct follow_id now;

	if (!due && !poll)
		return false;
	if (due)
		f->due_ms = 0;
	if (poll)
		f->poll_ms = now_ms + f->interval_ms;
	watch_both(f);
	/* what was written in a new directory so far, no event has told */
	if (f->wd[0] != wd) {
		poll = true;
		f->writing = false;
	}
	now = look_at(f->path);
	if (same(&now, &f->taken)) {
		f->seen = now;
		return false;
	}
	if (!poll && !f->at_rest) {
		if (f->writing && now.exists)
			return false;
	} else if (!look_at_rest(f, &now)) {
		return false;
	}
	f->at_rest = false;
	f->writing = false;
	f->taken = f->seen = now;
	return true;
}
