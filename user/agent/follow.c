// SPDX-License-Identifier: GPL-2.0-only
/*
 * follow.c - follows a path by inotify on directories, so that a file
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
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <linux/magic.h>
#include "agent/follow.h"

/* After the last event: several steps of an editor or script are one change. */
#define QUIET_MS 300
/* After a rename, which brings a whole file. */
#define RENAME_QUIET_MS 50
/* Of 4 kB each. */
#define READS_AT_ONCE 16
/* A poll's finding is looked at again after this, and never sooner. */
#define REST_MS 1000
/* The poll's interval while events are refused us. */
#define BLIND_MS 3000
/* Between the looks of a start, which hears no events yet. */
#define AWAIT_POLL_US 50000

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
	/* used up, for now; a directory that is closed to us stays closed */
	if (f->wd[i] < 0 && (errno == ENOSPC || errno == ENOMEM))
		f->blind = errno;
}

static void get_inotify(struct follower *f)
{
	f->blind = 0;
	if (f->fd >= 0)
		return;
	f->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->fd < 0)
		f->blind = errno;
	f->wd[0] = f->wd[1] = -1;
	f->real[0] = '\0';
}

/* Where the path leads to may have changed with any of its links. */
static void watch_both(struct follower *f)
{
	int first, old;
	char real[PATH_MAX];

	get_inotify(f);
	if (f->fd < 0)
		return;
	first = f->wd[0];
	old = f->wd[1];
	watch(f, 0, f->path);
	if (first >= 0 && first != f->wd[0] && first != old)
		inotify_rm_watch(f->fd, first);
	if (!realpath(f->path, real) ||
	    (!strcmp(real, f->real) && f->wd[1] >= 0))
		return;
	memcpy(f->real, real, sizeof(f->real));
	watch(f, 1, f->real);
	if (old >= 0 && old != f->wd[0] && old != f->wd[1])
		inotify_rm_watch(f->fd, old);
}

/* Where others may write, a lease says nothing of them. */
static bool is_local(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	switch ((uint32_t)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
	case OVERLAYFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		return true;
	}
	return false;
}

enum writer {
	WRITER_UNKNOWN,
	WRITER_NONE,
	WRITER_THERE
};

/*
 * Has anybody the file open for writing? The kernel tells the file's owner and
 * who has CAP_LEASE: there is no lease for reading then. An opening that waits
 * for the lease's end, which comes at once, is told to us by a signal.
 */
static enum writer ask_for_writer(const char *path)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
	struct stat st;
	enum writer writer = WRITER_UNKNOWN;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return WRITER_UNKNOWN;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && is_local(fd)) {
		sigaction(SIGIO, &ignore, &old);
		if (!fcntl(fd, F_SETLEASE, F_RDLCK))
			writer = fcntl(fd, F_SETLEASE, F_UNLCK) ? WRITER_UNKNOWN
								: WRITER_NONE;
		else if (errno == EAGAIN)
			writer = WRITER_THERE;
		sigaction(SIGIO, &old, NULL);
	}
	close(fd);
	return writer;
}

/* Changed this long ago; a clock that was set back makes it no younger. */
static bool is_older(const struct follow_id *id, int64_t ms)
{
	struct timespec now;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = now.tv_sec * 1000000000LL + now.tv_nsec - id->ctime_ns;
	return age >= ms * 1000000;
}

bool follow_await(const char *path, uint64_t timeout_ms, struct follow_id *out)
{
	uint64_t begin = follow_now_ms(), since = begin, now_ms;
	struct follow_id now = look_at(path);

	for (;;) {
		enum writer writer = ask_for_writer(path);
		uint64_t rest_ms = writer == WRITER_NONE ? QUIET_MS : REST_MS;

		*out = now;
		now_ms = follow_now_ms();
		now = look_at(path);
		if (!same(&now, out))
			since = now_ms;
		else if (!now.exists)
			return true;
		else if (writer != WRITER_THERE &&
			 (is_older(&now, rest_ms) || now_ms - since >= rest_ms))
			return true;
		if (now_ms - begin >= timeout_ms)
			return false;
		usleep(AWAIT_POLL_US);
	}
}

void follow_start(struct follower *f, const char *path,
		  const struct follow_id *known)
{
	*f = (struct follower){ .path = path, .fd = -1, .wd = { -1, -1 } };
	watch_both(f);
	follow_interval(f, 60000);
	f->taken = known ? *known : (struct follow_id){ .exists = true };
	f->seen = look_at(path);
	f->writing = !known;
}

static void set_poll(struct follower *f)
{
	f->poll_ms = follow_now_ms() + (f->blind && f->interval_ms > BLIND_MS
						? BLIND_MS
						: f->interval_ms);
}

void follow_interval(struct follower *f, uint64_t interval_ms)
{
	f->interval_ms = interval_ms < REST_MS ? REST_MS : interval_ms;
	set_poll(f);
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

	/* somebody may write there faster than we read: the rest next time */
	for (int reads = 0; f->fd >= 0 && reads < READS_AT_ONCE; reads++) {
		const struct inotify_event *event;

		n = read(f->fd, buffer, sizeof(buffer));
		if (n <= 0)
			break;

		for (char *at = buffer; at < buffer + n;
		     at += sizeof(*event) + event->len) {
			event = (const void *)at;
			note_event(f, event);
		}
	}
}

bool follow_take(struct follower *f)
{
	struct follow_id now;

	follow_events(f);
	watch_both(f);
	now = look_at(f->path);
	if (f->due_ms || (f->writing && now.exists))
		return false;
	if (now.exists && !same(&now, &f->taken)) {
		/* no event has told: is it so in a while, still? */
		f->seen = now;
		f->at_rest = true;
		f->due_ms = follow_now_ms() + REST_MS;
		return false;
	}
	f->taken = f->seen = now;
	f->writing = f->at_rest = false;
	f->due_ms = 0;
	return true;
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
	watch_both(f);
	if (poll)
		set_poll(f);
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
