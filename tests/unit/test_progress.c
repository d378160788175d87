// SPDX-License-Identifier: GPL-2.0-only
/* test_progress.c - what long work says, and when, by a clock of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "base/progress.h"
#include "rows.h"

static uint64_t clock_ms = 1000000;

/* Instead of the C library's. */
int clock_gettime(clockid_t id, struct timespec *now)
{
	(void)id;
	*now = (struct timespec){ .tv_sec = clock_ms / 1000,
				  .tv_nsec = clock_ms % 1000 * 1000000 };
	return 0;
}

/* --- a stderr to read -------------------------------------------------- */

static int saved = -1, reader = -1;

static void stderr_to(int write_to, int read_from)
{
	saved = dup(STDERR_FILENO);
	dup2(write_to, STDERR_FILENO);
	close(write_to);
	reader = read_from;
	fcntl(reader, F_SETFL, O_NONBLOCK);
}

static int terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct termios raw;

	(void)state;
	if (master < 0 || grantpt(master) || unlockpt(master))
		return -1;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0 || tcgetattr(slave, &raw))
		return -1;
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	stderr_to(slave, master);
	return 0;
}

static int log_file(void **state)
{
	int ends[2];

	(void)state;
	if (pipe(ends))
		return -1;
	stderr_to(ends[1], ends[0]);
	return 0;
}

static int restore(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(reader);
	log_level = 0;
	return 0;
}

static void said(const char *want)
{
	char got[4096];
	ssize_t length = read(reader, got, sizeof(got) - 1);

	got[length > 0 ? length : 0] = '\0';
	assert_string_equal(got, want);
}

static void after(struct progress *p, uint64_t ms, uint64_t done)
{
	clock_ms += ms;
	progress_to(p, done);
}

/* --- rows -------------------------------------------------------------- */

static void on_a_terminal(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, "flush", "flows", 1000);
	after(&p, 0, 1);
	after(&p, 999, 99);
	said(""); /* the first second */
	after(&p, 1, 100);
	said("\rmasqbpf: flush: 100 of 1000 flows");
	after(&p, 199, 150);
	said("");
	after(&p, 1, 2000); /* more than were expected */
	said("\rmasqbpf: flush: 2000 of 2000 flows");
	/* shorter: blanks over the rest */
	after(&p, 200, 7);
	said("\rmasqbpf: flush: 7 of 1000 flows   ");
	log_warn("a message");
	said("\r                                  \r"
	     "masqbpf: warning: a message\n");
	after(&p, 200, 8);
	said("\rmasqbpf: flush: 8 of 1000 flows");
	progress_end(&p);
	said("\r                               \r");
	log_warn("another");
	said("masqbpf: warning: another\n");
}

static void short_work(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, "flush", "flows", 2);
	progress_step(&p);
	after(&p, 999, 2);
	progress_end(&p);
	said("");
}

static void in_a_log(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, "flush", "flows", 0);
	after(&p, 9999, 5);
	said("");
	after(&p, 1, 6);
	said("masqbpf: flush: 6 flows\n"); /* of nobody knows how many */
	after(&p, 9999, 7);
	said("");
	after(&p, 1, 8);
	said("masqbpf: flush: 8 flows\n");
	progress_end(&p);
	said("");
}

static void quiet(void **state)
{
	struct progress p;

	(void)state;
	log_level = -1;
	progress_begin(&p, "flush", "flows", 10);
	after(&p, 60000, 5);
	progress_end(&p);
	said("");
}

/* clang-format off */
#define ON(where, row) { #where ": " #row, row, where, restore, NULL }

int main(void)
{
	const struct CMUnitTest rows[] = {
		ON(terminal, on_a_terminal),
		ON(terminal, short_work),
		ON(terminal, quiet),
		ON(log_file, in_a_log),
		ON(log_file, quiet),
	};

	return cmocka_run_group_tests(rows, NULL, NULL);
}
/* clang-format on */
