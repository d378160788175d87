// SPDX-License-Identifier: GPL-2.0-only
/* alone.c - a lock in /run, named after the network namespace. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "base/lock.h"
#include "base/log.h"
#include "kernel/netns.h"
#include "takeover/alone.h"

/* The lock's file as root made it, or -errno. */
static int open_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & (S_IRWXG | S_IRWXO)))
		return fd;
	close(fd);
	return -EPERM;
}

static const char *lock_path(char path[static 64])
{
	snprintf(path, 64, "/run/masqbpf-migrate-%llu",
		 (unsigned long long)netns_self());
	return path;
}

/* Is the file still the one of that name? Another's end removes it. */
static bool is_named(int fd, const char *path)
{
	struct stat opened, named;

	return !fstat(fd, &opened) && !lstat(path, &named) &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

void migrate_done(int lock)
{
	char path[64];

	if (lock < 0)
		return;
	/* while it is held, so that nobody else's goes */
	if (is_named(lock, lock_path(path)))
		unlink(path);
	close(lock);
}

bool migrate_alone(int *lock)
{
	char path[64];
	int fd, err;

	lock_path(path);
	for (;;) {
		fd = open_lock(path);
		err = fd < 0 ? fd : lock_take(fd, 0);
		if (err || is_named(fd, path))
			break;
		close(fd);
	}
	*lock = fd;
	if (!err)
		return true;
	if (fd >= 0)
		close(fd);
	*lock = -1;
	if (err == -EROFS || err == -ENOENT) { /* a container without /run */
		log_warn("migrate: another one at the same time would not be "
			 "noticed: %s: %s",
			 path, strerror(-err));
		return true;
	}
	if (err == -EBUSY)
		log_error("migrate: another one is at work here");
	else
		log_error("migrate: cannot be sure to be the only one: %s: %s",
			  path, strerror(-err));
	return false;
}
