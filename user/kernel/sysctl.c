// SPDX-License-Identifier: GPL-2.0-only
/* sysctl.c - see sysctl.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kernel/sysctl.h"

long sysctl_net(const char *name)
{
	char path[128], text[32], *end;
	ssize_t got;
	long value;
	int fd, err;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = read(fd, text, sizeof(text) - 1);
	err = got < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	text[got] = '\0';
	value = strtol(text, &end, 10);
	return end == text || value < 0 ? -EINVAL : value;
}
