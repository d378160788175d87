// SPDX-License-Identifier: GPL-2.0-only
/*
 * agent_guard.c - the guard is an abstract socket: it belongs to the network
 * namespace, as the instance does, leaves no file behind, and tells who has
 * it. Its name is the pin directory's inode.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "agent_guard.h"
#include "out.h"

/* Askers that wait; each is there for a moment. */
#define QUEUE 64

/* A socket, and the address for it; or -errno. */
static int open_socket(const struct instance *instance,
		       struct sockaddr_un *addr, socklen_t *length)
{
	struct stat st;
	int n, fd;

	if (fstat(instance->lock_fd, &st))
		return -errno;
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1,
		     "masqbpf-agent/%llx/%llx", (unsigned long long)st.st_dev,
		     (unsigned long long)st.st_ino);
	*length = n + offsetof(struct sockaddr_un, sun_path) + 1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? -errno : fd;
}

pid_t guard_owner(const struct instance *instance)
{
	struct ucred owner = {};
	socklen_t length = sizeof(owner), addr_length;
	struct sockaddr_un addr;
	int fd = open_socket(instance, &addr, &addr_length);
	pid_t pid = -1;

	if (fd < 0)
		return -1;
	/* the queue is full: there is an owner, and many ask */
	if (!connect(fd, (void *)&addr, addr_length)) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &length);
		pid = owner.pid;
	} else if (errno == EAGAIN) {
		pid = 0;
	}
	close(fd);
	return pid;
}

int guard_take(const struct instance *instance)
{
	struct sockaddr_un addr;
	socklen_t length;
	pid_t owner;
	int err, fd;

	fd = open_socket(instance, &addr, &length);
	err = fd < 0 ? fd : 0;
	if (!err && !bind(fd, (void *)&addr, length) && !listen(fd, QUEUE))
		return fd;
	err = err ?: -errno;
	owner = err == -EADDRINUSE ? guard_owner(instance) : -1;
	if (err != -EADDRINUSE)
		log_error("agent: cannot be sure to be alone: %s",
			  strerror(-err));
	else if (owner > 0)
		log_error("%s: an agent is at work: process %d",
			  instance->pin_dir, owner);
	else
		log_error("%s: an agent is at work, in another container",
			  instance->pin_dir);
	if (fd >= 0)
		close(fd);
	return err;
}

void guard_answer(int fd)
{
	int asker;

	/* that there is one to connect to has told it all */
	while ((asker = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(asker);
}
