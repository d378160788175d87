// SPDX-License-Identifier: GPL-2.0-only
/*
 * agent_lock.c - the lock of a directory within the pin directory, which nobody
 * but root can open, and which every container has that can reach the instance.
 * It goes with the agent.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/lock.h"
#include "base/log.h"
#include "plane/agent_lock.h"

/* Who only asks has it for a moment; a killed agent's may outlive it a bit. */
#define TAKE_MS 1000

static int open_lock(const struct instance *instance)
{
	int fd = openat(instance->lock_fd, INSTANCE_AGENT,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

pid_t agent_lock_owner(const struct instance *instance)
{
	int fd = open_lock(instance);
	pid_t pid = -1;

	if (fd < 0)
		return fd == -ENOENT ? -1 : 0;
	if (flock(fd, LOCK_SH | LOCK_NB))
		pid = errno == EWOULDBLOCK ? lock_holder_pid(fd) : 0;
	close(fd);
	return pid;
}

int agent_lock_take(const struct instance *instance)
{
	int fd = -1, err = 0, owner;

	if (mkdirat(instance->lock_fd, INSTANCE_AGENT, 0700) && errno != EEXIST)
		err = -errno;
	if (!err) {
		fd = open_lock(instance);
		err = fd < 0 ? fd : lock_take(fd, TAKE_MS);
	}
	if (!err)
		return fd;
	owner = err == -EBUSY ? lock_holder_pid(fd) : 0;
	if (owner)
		log_error("%s: an agent is at work: process %d",
			  instance->pin_dir, owner);
	else if (err == -EBUSY)
		log_error("%s: an agent is at work, in another container",
			  instance->pin_dir);
	else
		log_warn("%s/" INSTANCE_AGENT ": cannot be sure to be the only "
			 "agent: %s",
			 instance->pin_dir, strerror(-err));
	if (fd >= 0)
		close(fd);
	return err;
}
