// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_tool.c - programs of others: what they answer, and one that hangs is
 * ended, whatever it has begun or printed before, and said to be.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include "base/tool.h"

/* In the place of the C library's, for all that is linked here: a minute is
 * a fifth of a second, the longest wait four of them, and whatever else is asked
 * for never ends. */
static int minute_ms = 200;

unsigned int alarm(unsigned int seconds)
{
	const struct itimerval once = {
		.it_value.tv_sec = minute_ms / 1000,
		.it_value.tv_usec = minute_ms % 1000 * 1000,
	};

	if (seconds == 60)
		syscall(SYS_setitimer, ITIMER_REAL, &once, NULL);
	return 0;
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec longest = {
		.tv_sec = 4 * minute_ms / 1000,
		.tv_nsec = 4 * minute_ms % 1000 * 1000000L,
	};

	return syscall(SYS_ppoll, fds, count, timeout > 60000 ? &longest : NULL,
		       NULL, 0);
}

static int shell(const char *script, const char *input, char **output)
{
	char *argv[] = { "sh", "-c", (char *)script, NULL };

	return tool_run(argv, input, output);
}

static void answers(void **arg)
{
	char *out = NULL;

	(void)arg;
	assert_int_equal(shell("cat; exit 3", "some text\n", &out), 3);
	assert_string_equal(tool_why(3), "it ended with status 3; see above");
	free(out);
	assert_int_equal(shell("cat", "some text\n", &out), 0);
	assert_string_equal(out, "some text\n");
	free(out);
}

static void is_absent(void **arg)
{
	char *argv[] = { "masqbpf-no-such-tool", NULL };

	(void)arg;
	assert_false(tool_exists(argv[0]));
	assert_int_equal(tool_run(argv, NULL, NULL), -ENOENT);
}

/* However it waits: for a child, for itself, in a loop. */
static void hangs(void **arg)
{
	static const char *const scripts[] = {
		"echo begun; sleep 5; exit 0",
		"echo begun; exec sleep 600",
		"echo begun; while :; do :; done",
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		char *out = NULL;

		assert_int_equal(shell(scripts[i], NULL, &out), -ETIMEDOUT);
		assert_null(out);
	}
	assert_non_null(strstr(tool_why(-ETIMEDOUT), "within a minute"));
}

/* What whoever started us has done with alarms does not keep it going. */
static void hangs_for_a_bad_parent(void **arg)
{
	sigset_t set, old;

	(void)arg;
	signal(SIGALRM, SIG_IGN);
	assert_int_equal(shell("exec sleep 600", NULL, NULL), -ETIMEDOUT);
	signal(SIGALRM, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, &old);
	assert_int_equal(shell("exec sleep 600", NULL, NULL), -ETIMEDOUT);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Another signal is no minute. */
static void is_killed(void **arg)
{
	(void)arg;
	assert_int_equal(shell("kill -KILL $$", NULL, NULL), -EINTR);
	assert_non_null(strstr(tool_why(-EINTR), "signal"));
}

/* Not even its own mind about alarms does. */
static void ignores_its_alarm(void **arg)
{
	static const char *const scripts[] = {
		"trap '' ALRM; exec sleep 600",
		"trap '' ALRM; while :; do :; done",
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		assert_int_equal(shell(scripts[i], NULL, NULL), -ETIMEDOUT);
}

/* Something that is called like it, and is none. */
static void cannot_begin(void **arg)
{
	static const struct {
		const char *text;
		mode_t mode;
		int err;
	} files[] = {
		{ "no program at all\n", 0755, -ENOEXEC },
		{ "#!/nowhere/interpreter\n", 0755, -ENOENT },
		{ "#!/etc\n", 0755, -EACCES },
		{ "#!/bin/sh\n", 0644, -EACCES },
		{ "", 0755, -ENOEXEC },
	};
	char path[] = "/tmp/masqbpf-tool.XXXXXX";
	char *argv[] = { path, NULL };
	int fd = mkstemp(path);

	(void)arg;
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *out = NULL;

		fd = open(path, O_WRONLY | O_TRUNC);
		assert_int_equal(write(fd, files[i].text,
				       strlen(files[i].text)),
				 strlen(files[i].text));
		fchmod(fd, files[i].mode);
		close(fd);
		assert_int_equal(tool_run(argv, NULL, &out), files[i].err);
		assert_null(out);
	}
	unlink(path);
}

/* What it prints takes no more memory than anything has to say. */
static void prints_without_end(void **arg)
{
	static const char *const scripts[] = {
		"exec cat /dev/zero",
		"trap '' XFSZ; exec head -c 1G /dev/zero", /* it is told, then */
	};
	char *out = NULL;

	(void)arg;
	minute_ms = 60000; /* on a slow machine it takes its time */
	assert_int_equal(shell(scripts[0], NULL, &out), -EFBIG);
	assert_int_equal(shell(scripts[1], NULL, &out), 1);
	assert_null(out);
	assert_non_null(strstr(tool_why(-EFBIG), "128 MiB"));
	/* zero bytes hide what is behind them */
	assert_int_equal(shell("printf 'a\\0b\\n'", NULL, &out), -EBADMSG);
	assert_null(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(is_absent),
		cmocka_unit_test(hangs),
		cmocka_unit_test(hangs_for_a_bad_parent),
		cmocka_unit_test(is_killed),
		cmocka_unit_test(ignores_its_alarm),
		cmocka_unit_test(cannot_begin),
		cmocka_unit_test(prints_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
