// SPDX-License-Identifier: GPL-2.0-only
/*
 * lock.c - the kernel wakes those who wait for a flock one after the other, in
 * the order in which they came; so waiting is done there and not by asking
 * again and again, which others can always forestall. A timer ends a wait
 * that takes too long.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include "base/lock.h"
#include "base/log.h"

/* Once more and again: a tick that comes before the wait ends nothing. */
#define AGAIN_US 50000

static void on_tick(int sig)
{
	(void)sig;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static int take(int fd, uint64_t limit_ms)
{
	/* whom a tick ends has lost his place: so none before the limit */
	const struct itimerval tick = {
		{ 0, AGAIN_US }, { limit_ms / 1000, limit_ms % 1000 * 1000 }
	};
	const struct itimerval none = {};
	/* no SA_RESTART: it has to end the call */
	const struct sigaction action = { .sa_handler = on_tick };
	struct sigaction old_action;
	uint64_t end = now_ms() + limit_ms;
	sigset_t alarm, old_mask;
	int err;

	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK && errno != EINTR)
		return -errno;
	if (!limit_ms)
		return -EBUSY;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigaction(SIGALRM, &action, &old_action);
	sigprocmask(SIG_UNBLOCK, &alarm, &old_mask);
	if (setitimer(ITIMER_REAL, &tick, NULL)) {
		err = -errno;
		goto out;
	}
	do {
		err = flock(fd, LOCK_EX) ? -errno : 0;
	} while (err == -EINTR && now_ms() < end);
	setitimer(ITIMER_REAL, &none, NULL);
	if (err == -EINTR)
		err = -EBUSY;
out:
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
	sigaction(SIGALRM, &old_action, NULL);
	return err;
}

int lock_take(int fd, uint64_t limit_ms)
{
	int err = take(fd, limit_ms);

	if (!err)
		log_hold(true);
	return err;
}

bool lock_is_held(int fd)
{
	bool held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;

	if (!held)
		flock(fd, LOCK_UN);
	return held;
}

int lock_holder_pid(int fd)
{
	FILE *file = fopen("/proc/locks", "re");
	unsigned int major, minor;
	unsigned long long inode;
	char line[256];
	struct stat st;
	int pid, found = 0;

	if (!file)
		return 0;
	/* 1: FLOCK  ADVISORY  WRITE 123 00:1e:456 0 EOF */
	while (!fstat(fd, &st) && !found && fgets(line, sizeof(line), file))
		if (sscanf(line, "%*s FLOCK %*s %*s %d %x:%x:%llu", &pid,
			   &major, &minor, &inode) == 4 &&
		    inode == st.st_ino && makedev(major, minor) == st.st_dev &&
		    pid > 0)
			found = pid;
	fclose(file);
	return found;
}

const char *lock_holder(int fd, char *buf, size_t len)
{
	int pid = lock_holder_pid(fd);
	char path[32], name[32] = "";
	FILE *file;

	if (!pid) {
		snprintf(buf, len, "a process that is not seen from here");
		return buf;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (!fgets(name, sizeof(name), file))
			name[0] = '\0';
		fclose(file);
	}
	name[strcspn(name, "\n")] = '\0';
	snprintf(buf, len, *name ? "process %d (%s)" : "process %d", pid, name);
	return buf;
}
