// SPDX-License-Identifier: GPL-2.0-only
/* netns.c - found under /run/netns, where ip has them, or by a process. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include "base/log.h"
#include "kernel/netns.h"

uint64_t netns_inode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

uint64_t netns_self(void)
{
	return netns_inode("/proc/self/ns/net");
}

/* The entry of dir that is, with this suffix, the namespace. */
static bool find_netns(const char *dir, const char *suffix, uint64_t inode,
		       char *buf, size_t len)
{
	DIR *names = opendir(dir);
	struct dirent *entry;
	bool found = false;

	while (names && !found && (entry = readdir(names))) {
		snprintf(buf, len, "%s/%s%s", dir, entry->d_name, suffix);
		found = entry->d_name[0] != '.' && netns_inode(buf) == inode;
	}
	if (names)
		closedir(names);
	return found;
}

bool netns_path(uint64_t inode, char *buf, size_t len)
{
	return find_netns("/run/netns", "", inode, buf, len) ||
	       find_netns("/proc", "/ns/net", inode, buf, len);
}

bool netns_enter(uint64_t inode)
{
	char path[PATH_MAX];
	bool entered;
	int fd;

	if (!netns_path(inode, path, sizeof(path)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	entered = !setns(fd, CLONE_NEWNET);
	close(fd);
	if (entered)
		log_debug("entered network namespace %s", path);
	return entered;
}
