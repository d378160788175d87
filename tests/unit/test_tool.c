// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_tool.c - programs of others: what they answer, and one that hangs is
 * ended, whatever it has begun or printed before, and said to be.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include "base/tool.h"

/* In the place of the C library's, for all that is linked here: a minute is
 * a fifth of a second, and whatever else is asked for never ends. */
unsigned int alarm(unsigned int seconds)
{
	const struct itimerval once = { .it_value.tv_usec = 200000 };

	if (seconds == 60)
		syscall(SYS_setitimer, ITIMER_REAL, &once, NULL);
	return 0;
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
	assert_string_equal(tool_why(3), "see above");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(is_absent),
		cmocka_unit_test(hangs),
		cmocka_unit_test(hangs_for_a_bad_parent),
		cmocka_unit_test(is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
