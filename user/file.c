// SPDX-License-Identifier: GPL-2.0-only
/* file.c - reading a whole text file that somebody named, within bounds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"

/* Opening must neither wait for a FIFO's writer nor take a terminal. */
static int open_regular(const char *path, char *err, size_t errlen)
{
	struct stat st;
	const char *what;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		int error = errno;

		snprintf(err, errlen, "cannot be opened: %s", strerror(error));
		return -error;
	}
	if (fstat(fd, &st)) {
		int error = errno;

		snprintf(err, errlen, "stat failed: %s", strerror(error));
		close(fd);
		return -error;
	}
	if (S_ISREG(st.st_mode))
		return fd;
	close(fd);
	what = S_ISDIR(st.st_mode)			    ? "a directory"
	       : S_ISFIFO(st.st_mode)			    ? "a pipe"
	       : S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? "a device"
							    : "a socket";
	snprintf(err, errlen, "is %s, not a file%s", what,
		 S_ISDIR(st.st_mode) ? "" : " (- reads standard input)");
	return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

/* By growing steps: the size that stat tells is 0 in /proc. */
static int read_all(int fd, char **text, size_t *length, char *err,
		    size_t errlen)
{
	size_t room = 16384, used = 0;
	char *buf = malloc(room + 1), *more;
	int ret;

	if (!buf)
		goto nomem;
	for (;;) {
		ssize_t n = read(fd, buf + used, room - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ret = -errno;
			snprintf(err, errlen, "cannot be read: %s",
				 strerror(-ret));
			goto out;
		}
		if (!n)
			break;
		used += n;
		if (used > FILE_MAX) {
			snprintf(err, errlen, "is larger than %d MiB",
				 FILE_MAX >> 20);
			ret = -EFBIG;
			goto out;
		}
		if (used < room)
			continue;
		room *= 2;
		more = realloc(buf, room + 1);
		if (!more)
			goto nomem;
		buf = more;
	}
	buf[used] = '\0';
	*text = buf;
	*length = used;
	return 0;
nomem:
	snprintf(err, errlen, "out of memory");
	ret = -ENOMEM;
out:
	free(buf);
	return ret;
}

int file_read(const char *path, char **text, size_t *length, char *err,
	      size_t errlen)
{
	int fd = STDIN_FILENO, ret;

	if (!*path) {
		snprintf(err, errlen, "the file name is empty");
		return -EINVAL;
	}
	if (strcmp(path, "-")) {
		fd = open_regular(path, err, errlen);
		if (fd < 0)
			return fd;
	}
	ret = read_all(fd, text, length, err, errlen);
	if (fd != STDIN_FILENO)
		close(fd);
	return ret;
}
