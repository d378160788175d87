// SPDX-License-Identifier: GPL-2.0-only
/* main.c - from the command line to a command, and to its exit status. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/parse.h"

/*
 * Descriptors 0 to 2 may be closed: a map or a lock must not get one of
 * these numbers and then be printed to. The placeholder cannot be written,
 * so a missing stdout is still noticed by finish_stdout.
 */
static int reserve_standard_fds(void)
{
	int fd;

	do {
		/* which is always there, as /dev/null is not */
		fd = open("/", O_PATH | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

/*
 * What whoever started us ignores or blocks is not for us to ignore: children
 * that end unseen, waits that no alarm ends, a SIGTERM that never comes. Who
 * ignores SIGHUP or SIGINT for us (nohup, &) means it.
 */
static void own_signals(void)
{
	sigset_t none;

	signal(SIGCHLD, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* a closed pipe is reported by finish_stdout, not by death, and so is
	 * RLIMIT_FSIZE where a file is written */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/*
 * One directory has one name: what is saved of it goes by that. (.. stays, for
 * only the kernel knows what it leads to.) What is refused stays as it is.
 */
static const char *plain_path(const char *path)
{
	static char plain[MASQ_PIN_DIR_MAX + 2];
	const char *from = path;
	size_t used = 0, length;

	if (*path != '/')
		return path;
	for (; *from; from += length) {
		from += strspn(from, "/");
		length = strcspn(from, "/");
		if (!length || (length == 1 && *from == '.'))
			continue;
		if (used + 1 + length >= sizeof(plain))
			return path;
		plain[used++] = '/';
		memcpy(plain + used, from, length);
		used += length;
	}
	if (!used)
		plain[used++] = '/';
	plain[used] = '\0';
	return plain;
}

/* What was printed is out: 0, or -EIO once stdout could not be written (said). */
static int finish_stdout(void)
{
	struct pollfd pipe = { .fd = STDOUT_FILENO, .events = POLLOUT };
	int err = 0;

	if (fflush(stdout))
		err = errno;
	else if (ferror(stdout))
		err = EIO;
	if (!err)
		return 0;
	/* `masqbpf flows | head` is nobody's mistake */
	if (poll(&pipe, 1, 0) != 1 || !(pipe.revents & POLLERR))
		log_error("stdout: write failed: %s", strerror(err));
	return -EIO;
}

int main(int argc, char **argv)
{
	struct cmd_line line = { .commands = cmd_table,
				 .pin_dir = getenv("MASQBPF_PIN_DIR") };
	bool help = false, version = false;
	int result;

	if (reserve_standard_fds()) {
		log_error("standard streams: cannot be opened: %s",
			  strerror(errno));
		return CMD_FAILED;
	}
	own_signals();

	result = cmd_parse(&line, argc, argv, &help, &version);
	if (result)
		return result;
	if (!line.pin_dir || !*line.pin_dir)
		line.pin_dir = MASQ_DEFAULT_PIN_DIR;
	line.pin_dir = plain_path(line.pin_dir);
	if (line.pin_dir[0] != '/' || strlen(line.pin_dir) > MASQ_PIN_DIR_MAX)
		return cmd_usage(&line,
				 "--pin-dir %s: not an absolute path of "
				 "at most %d characters",
				 line.pin_dir, MASQ_PIN_DIR_MAX);

	if (version) {
		printf("masqbpf %s\n", MASQ_VERSION);
	} else if (help) {
		cmd_help(&line);
	} else if (!line.cmd) {
		return cmd_usage(&line, "no command given");
	} else if (line.argc < line.cmd->min) {
		return cmd_usage(&line, "needs %s", line.cmd->args);
	} else if (line.cmd->max != CMD_ANY && line.argc > line.cmd->max) {
		return cmd_usage(&line, "%s: one argument too many",
				 line.argv[line.cmd->max]);
	} else {
		result = line.cmd->run(&line);
		log_hold(false);
	}
	if (finish_stdout() && result == CMD_OK)
		result = CMD_FAILED;
	return result;
}
