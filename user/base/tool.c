// SPDX-License-Identifier: GPL-2.0-only
/*
 * tool.c - a program with its input and output in memory files, so that
 * neither side can wait for the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/tool.h"

/* nft reads rules anew until none changes meanwhile, which may be never. */
#define TOOL_SECONDS 60
/* One that does not care about its alarm is ended when it has had these, too. */
#define TOOL_GRACE 5
/* Of what it prints: a hundred times what 10,000 rules are. */
#define TOOL_MIB 128

#define SBIN	 "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"

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

static int read_all(int fd, char **out, size_t *length)
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
	*length = st.st_size;
	return 0;
}

/* What a stranger may use up. */
static void bound(bool prints)
{
	struct rlimit size;
	sigset_t set;

	signal(SIGALRM, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGXFSZ);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	alarm(TOOL_SECONDS); /* lasts over execv */
	if (prints && !getrlimit(RLIMIT_FSIZE, &size) &&
	    size.rlim_cur > TOOL_MIB << 20) {
		size.rlim_cur = TOOL_MIB << 20;
		setrlimit(RLIMIT_FSIZE, &size);
	}
}

/* Where a program's words go; -1: where ours do. */
struct streams {
	int in, out, err;
};

/* `why` closes itself. */
static void keep_nothing(int why)
{
	if (!close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC))
		return;
	/* before 5.11, which has no such flag */
	if (why > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, why - 1, 0);
	close_range(why + 1, ~0U, 0);
}

/*
 * Of what was open or ignored before us a stranger's program gets nothing;
 * ourselves may have to read /dev/fd/3. why: gets the errno when it cannot be
 * begun, and is closed when it has.
 */
static void __attribute__((noreturn))
run_child(const char *path, char *const argv[], const struct streams *fds,
	  int why)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGTERM };
	sigset_t blocked;
	bool ready = dup2(fds->in, STDIN_FILENO) >= 0 &&
		     (fds->out < 0 || dup2(fds->out, STDOUT_FILENO) >= 0) &&
		     (fds->err < 0 || dup2(fds->err, STDERR_FILENO) >= 0);

	if (ready && strcmp(path, TOOL_SELF)) {
		keep_nothing(why);
		bound(fds->out >= 0);
	}
	signal(SIGPIPE, SIG_DFL);
	/* a shell, as iptables is in some images, lets go of the mask */
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigismember(&blocked, ends[i]))
			signal(ends[i], SIG_IGN);
	if (ready)
		execv(path, argv);
	if (write(why, &errno, sizeof(errno)) < 0)
		_exit(126);
	_exit(127);
}

/* A stranger that is not done when it was to be long ago is killed: true. */
static bool ends_late(pid_t pid)
{
	struct pollfd fd = { .fd = syscall(SYS_pidfd_open, pid, 0),
			     .events = POLLIN };
	int ready = -1;

	while (fd.fd >= 0 && ready < 0) {
		ready = poll(&fd, 1, (TOOL_SECONDS + TOOL_GRACE) * 1000);
		if (ready < 0 && errno != EINTR)
			break;
	}
	if (fd.fd >= 0)
		close(fd.fd);
	return !ready && !kill(pid, SIGKILL);
}

/* 0 and what it ended with, or -errno. */
static int await_child(pid_t pid, bool stranger, int *status)
{
	bool late = stranger && ends_late(pid);
	pid_t ended;

	do {
		ended = waitpid(pid, status, 0);
	} while (ended < 0 && errno == EINTR);
	return ended < 0 ? -errno : late ? -ETIMEDOUT : 0;
}

const char *tool_why(int err)
{
	static char text[64];

	if (err >= 0) {
		snprintf(text, sizeof(text),
			 "it ended with status %d; see above", err);
		return text;
	}
	if (err == -EFBIG)
		return "it printed more than 128 MiB, and was ended";
	if (err == -EBADMSG)
		return "what it printed is not what it prints";
	if (err == -ETIMEDOUT)
		return "it was not done within a minute, and was ended";
	if (err == -EINTR)
		return "a signal has ended it";
	return strerror(-err);
}

/* What it ended with, or -errno. */
static int run(const char *path, char *const argv[], const struct streams *fds)
{
	int why[2], status = 0, failed = 0, err;
	pid_t pid;

	if (pipe2(why, O_CLOEXEC))
		return -errno;
	fflush(stdout);
	pid = fork();
	if (!pid)
		run_child(path, argv, fds, why[1]);
	err = pid < 0 ? -errno : 0;
	close(why[1]);
	if (!err)
		err = await_child(pid, strcmp(path, TOOL_SELF) != 0, &status);
	if (!err && read(why[0], &failed, sizeof(failed)) == sizeof(failed))
		err = -failed;
	close(why[0]);
	if (err)
		return err;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return WTERMSIG(status) == SIGALRM   ? -ETIMEDOUT
	       : WTERMSIG(status) == SIGXFSZ ? -EFBIG
					     : -EINTR;
}

/* run() by its name; output, where wanted: whatever it came to. */
static int run_named(char *const argv[], const char *input, bool both,
		     char **output, size_t *length)
{
	struct streams fds = { .in = -1, .out = -1, .err = -1 };
	char path[4200];
	int err = 0, status = 0;

	if (*argv[0] == '/')
		snprintf(path, sizeof(path), "%s", argv[0]);
	else if (!find(argv[0], path, sizeof(path)))
		return -ENOENT;
	fds.in = make_input(input ?: "");
	err = fds.in < 0 ? fds.in : 0;
	if (!err && output) {
		fds.out = memfd_create("output", MFD_CLOEXEC);
		err = fds.out < 0 ? -errno : 0;
	}
	if (!err) {
		fds.err = both ? fds.out : -1;
		status = run(path, argv, &fds);
	}
	if (!err && output)
		err = read_all(fds.out, output, length);
	if (fds.in >= 0)
		close(fds.in);
	if (fds.out >= 0)
		close(fds.out);
	return err ?: status;
}

int tool_run(char *const argv[], const char *input, char **output)
{
	char *text = NULL;
	size_t length = 0;
	int err = run_named(argv, input, false, output ? &text : NULL, &length);

	if (!err && text && memchr(text, '\0', length))
		err = -EBADMSG; /* its rest would not be seen */
	if (!err && output)
		*output = text;
	else
		free(text);
	return err;
}

int tool_words(char *const argv[], char **output, size_t *length)
{
	*output = NULL;
	*length = 0;
	return run_named(argv, NULL, true, output, length);
}
