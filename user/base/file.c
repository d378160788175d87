// SPDX-License-Identifier: GPL-2.0-only
/* file.c - reading a whole text file that somebody named, within bounds. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/reject.h"

static int too_large(char *err, size_t errlen)
{
	reject(err, errlen, "is larger than %d MiB", FILE_MAX >> 20);
	return -EFBIG;
}

/* Opening must neither wait for a FIFO's writer nor take a terminal. */
static int open_regular(const char *path, char *err, size_t errlen)
{
	struct stat st;
	const char *what;
	int fd, ret;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st)) {
		ret = -errno;
		reject(err, errlen, "cannot be opened: %s", strerror(-ret));
		goto out;
	}
	if (S_ISREG(st.st_mode)) {
		if (st.st_size <= FILE_MAX)
			return fd;
		ret = too_large(err, errlen);
		goto out;
	}
	what = S_ISDIR(st.st_mode)			    ? "a directory"
	       : S_ISFIFO(st.st_mode)			    ? "a pipe"
	       : S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? "a device"
							    : "a socket";
	reject(err, errlen, "is %s, not a file%s", what,
	       S_ISDIR(st.st_mode) ? "" : " (- reads standard input)");
	ret = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
out:
	if (fd >= 0)
		close(fd);
	return ret;
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
			reject(err, errlen, "cannot be read: %s",
			       strerror(-ret));
			goto out;
		}
		if (!n)
			break;
		used += n;
		if (used > FILE_MAX) {
			ret = too_large(err, errlen);
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
	reject(err, errlen, "out of memory");
	ret = -ENOMEM;
out:
	free(buf);
	return ret;
}

int file_read(const char *path, char **text, size_t *length, char *err,
	      size_t errlen)
{
	int fd = STDIN_FILENO, ret;

	if (!*path)
		return reject(err, errlen, "the file name is empty");
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

struct dirent *file_next(DIR *dir, int *err)
{
	struct dirent *entry;

	errno = 0;
	entry = readdir(dir);
	*err = entry ? 0 : -errno;
	return entry;
}
