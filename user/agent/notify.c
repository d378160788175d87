// SPDX-License-Identifier: GPL-2.0-only
/*
 * notify.c - sd_notify(3) in a few lines; libsystemd would bring half a
 * dozen libraries with it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "agent/notify.h"
#include "base/cidr.h"
#include "base/log.h"

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t length;
	int fd;

	if (!path || (*path != '/' && *path != '@') ||
	    strlen(path) >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path, path, strlen(path));
	length = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	if (*path == '@')
		addr.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (void *)&addr, length)) {
		log_warn("%s: cannot notify the service manager: %s", path,
			 strerror(errno));
		close(fd);
		fd = -1;
	}
	return fd;
}

void notify(int fd, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void notify_reloading(int fd)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	notify(fd, "RELOADING=1\nMONOTONIC_USEC=%llu",
	       t.tv_sec * 1000000ULL + t.tv_nsec / 1000);
}

uint64_t notify_watchdog_ms(void)
{
	const char *text = getenv("WATCHDOG_USEC"),
		   *pid = getenv("WATCHDOG_PID");
	uint64_t us, number;

	if (!text || number_parse(text, 1, UINT64_MAX, &us, NULL, 0))
		return 0;
	/* meant for another process */
	if (pid && (number_parse(pid, 1, INT32_MAX, &number, NULL, 0) ||
		    (pid_t)number != getpid()))
		return 0;
	return us / 2000 ?: 1;
}
