// SPDX-License-Identifier: GPL-2.0-only
/*
 * pindir.c - where pins may lie. Pins vanish with the last mount of their
 * bpffs. A bpffs that was mounted in a private mount namespace (`ip netns
 * exec`, `unshare -m`, a container) goes when its last process exits, and the
 * node would be left without masquerade a moment after "attached" was said.
 * So only a bpffs that pid 1 sees as well is accepted there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include "base/lock.h"
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netns.h"
#include "plane/pindir.h"

#define BPFFS "/sys/fs/bpf"

/* A fixed number since Linux 3.8: PROC_PID_INIT_INO of proc_ns.h. */
#define INIT_PID_NS 0xeffffffcU

/*
 * A lock is held for milliseconds; for longer only where an attach takes over
 * very many flows, and by who hangs.
 */
#define READ_WAIT_MS   1000
#define WRITE_WAIT_MS  20000
#define PATIENT_SAY_MS 10000

/* --- namespaces -------------------------------------------------------- */

/* One line of /proc/PID/mountinfo. */
struct mount {
	unsigned int id;
	dev_t device;
};

static bool next_mount(FILE *file, struct mount *mount)
{
	unsigned int major, minor;
	int c, fields;

	fields = fscanf(file, "%u %*u %u:%u", &mount->id, &major, &minor);
	if (fields != 3)
		return false;
	mount->device = makedev(major, minor);
	do {
		c = getc(file);
	} while (c != EOF && c != '\n');
	return true;
}

/*
 * Does pid 1 have the mount of this id, or any mount of this device? Mount
 * ids are unique among all namespaces, and unlike /proc/1/ns/mnt this file
 * may be read without ptrace rights over pid 1.
 */
static bool init_has_mount(unsigned int id, dev_t device)
{
	FILE *file = fopen("/proc/1/mountinfo", "re");
	struct mount mount;
	bool found = false;

	if (!file)
		return false;
	while (!found && next_mount(file, &mount))
		found = (id && mount.id == id) ||
			(device && mount.device == device);
	fclose(file);
	return found;
}

/* Are we in pid 1's mount namespace? A mount belongs to exactly one. */
static bool in_init_mount_ns(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	struct mount mount;
	bool have;

	if (!file)
		return false;
	have = next_mount(file, &mount);
	fclose(file);
	return have && init_has_mount(mount.id, 0);
}

/* --- bpffs ------------------------------------------------------------- */

static void say_nsenter(const char *path)
{
	char net[PATH_MAX];

	if (!netns_path(netns_self(), net, sizeof(net)) ||
	    !strncmp(net, "/proc/", 6))
		snprintf(net, sizeof(net), "/run/netns/NAME");
	log_error("%s: pins would vanish: this mount namespace is not the "
		  "machine's (ip netns exec makes one); enter the network "
		  "namespace alone: nsenter --net=%s masqbpf ...",
		  path, net);
}

/* The longest part of an absolute path that exists; returns buf. */
static const char *existing_part(const char *path, char *buf, size_t len)
{
	struct stat st;

	snprintf(buf, len, "%s", path);
	while (strlen(buf) > 1 && stat(buf, &st) && errno == ENOENT) {
		char *slash = strrchr(buf, '/');

		slash[slash == buf] = '\0';
	}
	return buf;
}

static int mount_bpffs(const char *path)
{
	int err;

	if (netns_inode("/proc/self/ns/pid") != INIT_PID_NS) {
		log_error("%s: no bpffs at " BPFFS ", and one that is mounted "
			  "in a container would vanish with it: mount the "
			  "host's " BPFFS " there (hostPath)",
			  path);
		return -EPERM;
	}
	if (!mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		   "mode=0700"))
		return 0;
	err = -errno;
	log_error(BPFFS ": cannot mount a bpffs: %s",
		  caps_strerror(err, CAPS_SYS_ADMIN));
	return err;
}

/* A bpffs that stays below path? -ENOENT: none yet, and none was to be made. */
static int check_bpffs(const char *path, bool make)
{
	char part[PATH_MAX];
	struct statfs fs;
	struct stat st;
	bool init_ns;
	int err;

	do { /* what exists may go while we look */
		existing_part(path, part, sizeof(part));
		err = statfs(part, &fs) || stat(part, &st) ? -errno : 0;
	} while (err == -ENOENT);
	if (err) {
		log_error("%s: cannot look at it: %s", path, strerror(-err));
		return err;
	}
	init_ns = in_init_mount_ns();
	if (fs.f_type == BPF_FS_MAGIC) {
		if (init_ns || init_has_mount(0, st.st_dev))
			return 0;
		say_nsenter(path);
		return -EPERM;
	}
	if (strncmp(path, BPFFS "/", strlen(BPFFS "/"))) {
		log_error(
			"%s: not on a bpffs (file system type bpf); choose a directory below one, as " BPFFS
			"/masqbpf",
			path);
		return -EINVAL;
	}
	if (!init_ns) {
		say_nsenter(path);
		return -EPERM;
	}
	return make ? mount_bpffs(path) : -ENOENT;
}

/* --- the directory ----------------------------------------------------- */

/* The topmost directory that was made; "": none was. */
static char made[PATH_MAX];

int pindir_remove(const char *path)
{
	char part[PATH_MAX], *slash;

	if (rmdir(path))
		return -errno;
	snprintf(part, sizeof(part), "%s", path);
	while (*made && (slash = strrchr(part, '/')) && slash != part) {
		*slash = '\0';
		if (strncmp(part, made, strlen(made)) || rmdir(part))
			break;
	}
	return 0;
}

static int make_path(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *c = part + 1;; c++) {
		char end = *c;

		if (end && end != '/')
			continue;
		*c = '\0';
		if (!mkdir(part, 0700)) {
			if (strncmp(part, made, strlen(made)) || !*made)
				snprintf(made, sizeof(made), "%s", part);
		} else if (errno != EEXIST) {
			return -errno;
		}
		if (!end)
			return 0;
		*c = end;
	}
}

/*
 * Where a bpffs is mounted all tools have their pins. Its root has the first
 * inode, as simple_fill_super makes it; a directory of it that is mounted by
 * itself, as into a container, has another.
 */
static int check_no_root(const char *path, int fd, const struct stat *st)
{
	struct stat above;

	if (st->st_ino != 1 || fstatat(fd, "..", &above, 0) ||
	    above.st_dev == st->st_dev)
		return 0;
	log_error(
		"%s: is the root of a bpffs, where others have their pins: choose a directory below it, as %s/masqbpf",
		path, path);
	return -EINVAL;
}

/* Others could have put pins of theirs into a directory that they may write. */
static int check_trust(const char *path, const struct stat *st)
{
	if (st->st_uid != geteuid() && st->st_uid != 0) {
		log_error("%s: not trusted: it belongs to uid %u", path,
			  st->st_uid);
		return -EPERM;
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH)) {
		log_error("%s: not trusted: others may write to it (mode %04o)",
			  path, st->st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

/* Nothing has been begun: who wants to end while he waits may. */
static int wait_for_lock(int fd, uint64_t limit_ms)
{
	sigset_t ends, old;
	int err;

	sigemptyset(&ends);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &ends, &old);
	err = lock_take(fd, limit_ms);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

static int lock(const char *path, int fd, enum pindir_use use)
{
	const uint64_t limits[] = { [PINDIR_READ] = READ_WAIT_MS,
				    [PINDIR_WRITE] = WRITE_WAIT_MS,
				    [PINDIR_PATIENT] = PATIENT_SAY_MS };
	char holder[64], text[256];
	int err = lock_take(fd, 0);

	if (err == -EBUSY && use != PINDIR_READ) {
		snprintf(text, sizeof(text), "%s: locked by %s: waiting", path,
			 lock_holder(fd, holder, sizeof(holder)));
		log_transient(text);
	}
	/* one wait, for each new one is at the end of the queue */
	while (err == -EBUSY &&
	       (err = wait_for_lock(fd, limits[use])) == -EBUSY) {
		lock_holder(fd, holder, sizeof(holder));
		if (use == PINDIR_READ) {
			log_debug("%s: locked by %s: looked at without the "
				  "lock",
				  path, holder);
			return 0;
		}
		if (use == PINDIR_WRITE) {
			log_error("%s: locked by %s for %d s", path, holder,
				  WRITE_WAIT_MS / 1000);
			return err;
		}
		log_info("%s: locked by %s: waiting", path, holder);
	}
	log_transient(NULL);
	if (err)
		log_error("%s: cannot lock: %s", path, strerror(-err));
	return err;
}

int pindir_open(const char *path, bool make, enum pindir_use use)
{
	struct stat opened, named;
	int fd, err;

	if (path[0] != '/') {
		log_error("%s: not an absolute path", path);
		return -EINVAL;
	}
	for (;;) {
		err = check_bpffs(path, make);
		if (!err && make) {
			err = make_path(path);
			if (err)
				log_error("%s: cannot make the directory: %s",
					  path, strerror(-err));
		}
		if (err)
			return err;
		fd = open(path,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			err = -errno;
			if (err == -ENOENT && make)
				continue; /* just removed by a detach */
			if (err != -ENOENT)
				log_error("%s: cannot open: %s", path,
					  strerror(-err));
			return err;
		}
		if (fstat(fd, &opened)) {
			err = -errno;
			log_error("%s: cannot look at it: %s", path,
				  strerror(-err));
			break;
		}
		err = check_no_root(path, fd, &opened);
		if (!err)
			err = check_trust(path, &opened);
		if (!err)
			err = lock(path, fd, use);
		if (err)
			break;
		/* while we waited, a detach may have removed what we locked */
		err = stat(path, &named) ? -errno : 0;
		if (!err && named.st_ino == opened.st_ino &&
		    named.st_dev == opened.st_dev)
			return fd;
		if (err && err != -ENOENT) {
			log_error("%s: cannot look at it: %s", path,
				  strerror(-err));
			break;
		}
		close(fd);
	}
	close(fd);
	return err;
}
