// SPDX-License-Identifier: GPL-2.0-only
/* author.c - as the kernel knows it. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "policy/author.h"

static size_t read_proc(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, buf, len - 1);

	if (fd >= 0)
		close(fd);
	buf[length > 0 ? length : 0] = '\0';
	return length > 0 ? length : 0;
}

/* The user, and the one who logged in, where the kernel knows (audit). */
void author_who(char *buf, size_t len)
{
	struct passwd *user = getpwuid(getuid());
	char text[32];
	unsigned long login;
	int used;

	used = user ? snprintf(buf, len, "%s", user->pw_name)
		    : snprintf(buf, len, "uid %u", getuid());
	if (!read_proc("/proc/self/loginuid", text, sizeof(text)))
		return;
	login = strtoul(text, NULL, 10);
	if (login == UINT32_MAX || login == getuid() || used >= (int)len)
		return;
	user = getpwuid(login);
	if (user)
		snprintf(buf + used, len - used, " (login %s)", user->pw_name);
	else
		snprintf(buf + used, len - used, " (login uid %lu)", login);
}

static const char *command_set;

void author_set_command(const char *command)
{
	command_set = command;
}

void author_command(char *buf, size_t len)
{
	size_t length = read_proc("/proc/self/cmdline", buf, len);
	const char *slash;

	if (command_set || getenv(AUTHOR_ENV)) {
		snprintf(buf, len, "%s", command_set ?: getenv(AUTHOR_ENV));
		return;
	}
	if (!length) {
		snprintf(buf, len, "%s", program_invocation_short_name);
		return;
	}
	/* words end in NUL; the program without its path */
	slash = strrchr(buf, '/');
	if (slash) {
		length -= slash + 1 - buf;
		memmove(buf, slash + 1, length + 1);
	}
	for (size_t i = 0; i + 1 < length; i++)
		if (!buf[i])
			buf[i] = ' ';
}
