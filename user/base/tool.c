// SPDX-License-Identifier: GPL-2.0-only
/*
 * tool.c - a program with its input and output in memory files, so that
 * neither side can wait for the other.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/tool.h"

/* nft reads rules anew until none changes meanwhile, which may be never. */
#define TOOL_SECONDS 60

#define SBIN	     "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"

static bool find(const char *name, char *path, size_t len)
{
	const char *env = getenv("PATH");
	char dirs[4096], *dir, *save;

	snprintf(dirs, sizeof(dirs), "%s:" SBIN, env ?: "");
	for (dir = strtok_r(dirs, ":", &save); dir;
	     dir = strtok_r(NULL, ":", &save)) {
		snprintf(path, len, "%s/%s", dir, name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

bool tool_exists(const char *name)
{
	char path[4200];

	return find(name, path, sizeof(path));
}

static int make_input(const char *text)
{
	size_t length = strlen(text);
	int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, text, length) != (ssize_t)length ||
	    lseek(fd, 0, SEEK_SET)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static int read_all(int fd, char **out)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st))
		return -errno;
	text = calloc(1, st.st_size + 1);
	if (!text)
		return -ENOMEM;
	if (pread(fd, text, st.st_size, 0) != st.st_size) {
		free(text);
		return -EIO;
	}
	*out = text;
	return 0;
}

/*
 * Of what was open or ignored before us a stranger's program gets nothing;
 * ourselves may have to read /dev/fd/3.
 */
static void run_child(const char *path, char *const argv[], int in, int out)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGTERM };
	sigset_t blocked, alarms;

	if (dup2(in, STDIN_FILENO) < 0 ||
	    (out >= 0 && dup2(out, STDOUT_FILENO) < 0))
		_exit(126);
	if (strcmp(path, TOOL_SELF)) {
		close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
		signal(SIGALRM, SIG_DFL);
		sigemptyset(&alarms);
		sigaddset(&alarms, SIGALRM);
		sigprocmask(SIG_UNBLOCK, &alarms, NULL);
		alarm(TOOL_SECONDS); /* lasts over execv */
	}
	signal(SIGPIPE, SIG_DFL);
	/* a shell, as iptables is in some images, lets go of the mask */
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigismember(&blocked, ends[i]))
			signal(ends[i], SIG_IGN);
	execv(path, argv);
	_exit(127);
}

/* 0 and what it ended with, or -errno. */
static int await_child(pid_t pid, int *status)
{
	pid_t ended;

	do {
		ended = waitpid(pid, status, 0);
	} while (ended < 0 && errno == EINTR);
	return ended < 0 ? -errno : 0;
}

const char *tool_why(int err)
{
	if (err >= 0)
		return "see above";
	if (err == -ETIMEDOUT)
		return "it was not done within a minute, and was ended";
	if (err == -EINTR)
		return "a signal has ended it";
	return strerror(-err);
}

int tool_run(char *const argv[], const char *input, char **output)
{
	int in, out = -1, status = 0, err;
	char path[4200];
	pid_t pid;

	if (*argv[0] == '/')
		snprintf(path, sizeof(path), "%s", argv[0]);
	else if (!find(argv[0], path, sizeof(path)))
		return -ENOENT;
	in = make_input(input ?: "");
	err = in < 0 ? in : 0;
	if (!err && output) {
		out = memfd_create("output", MFD_CLOEXEC);
		err = out < 0 ? -errno : 0;
	}
	fflush(stdout);
	if (!err) {
		pid = fork();
		if (!pid)
			run_child(path, argv, in, out);
		err = pid < 0 ? -errno : 0;
	}
	if (!err)
		err = await_child(pid, &status);
	if (!err)
		err = WIFEXITED(status)		    ? WEXITSTATUS(status)
		      : WTERMSIG(status) == SIGALRM ? -ETIMEDOUT
						    : -EINTR;
	if (!err && output)
		err = read_all(out, output);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return err;
}
