// SPDX-License-Identifier: GPL-2.0-only
/* log.c - one-line messages, and the line that goes again. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/safe.h"
#include "base/term.h"
#include "base/words.h"

#define INDENT	4 /* of what goes on in another line */
#define WAITING 16384 /* bytes of lines that nobody takes */

int log_level;
static int transient; /* characters on the terminal that are to go again */

static bool held, never_waits;
static char waiting[WAITING]; /* whole lines */
static size_t waiting_used;
static unsigned long lost; /* lines that there was no room for */

/*
 * Would stderr take a line at once? A pipe that can be written to has room for
 * a page, which is more than a line.
 */
static bool is_taken(void)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&fd, 1, 0) != 0;
}

/* What has waited, as far as it is taken. */
static void print_waiting(bool wait)
{
	while (waiting_used && (wait || is_taken())) {
		size_t length = strcspn(waiting, "\n") + 1;

		fprintf(stderr, "%.*s", (int)length, waiting);
		waiting_used -= length;
		memmove(waiting, waiting + length, waiting_used + 1);
	}
	if (lost && !waiting_used && (wait || is_taken())) {
		fprintf(stderr,
			"masqbpf: warning: %lu lines are lost: nobody read "
			"what was printed\n",
			lost);
		lost = 0;
	}
}

void log_hold(bool hold)
{
	held = hold;
	print_waiting(!hold && !never_waits);
}

bool log_waits(void)
{
	return waiting_used || lost;
}

void log_never_wait(void)
{
	never_waits = true;
}

/* Has the line to wait, as we must not? */
static bool has_to_wait(void)
{
	if (!held && !never_waits)
		return false;
	print_waiting(false);
	return waiting_used || !is_taken();
}

static void keep_waiting(const char *kind, const char *text)
{
	size_t room = sizeof(waiting) - waiting_used;
	int length = snprintf(waiting + waiting_used, room, "masqbpf: %s%s\n",
			      kind, text);

	if (length >= 0 && (size_t)length < room && !lost) {
		waiting_used += length;
		return;
	}
	waiting[waiting_used] = '\0';
	lost++;
}

bool log_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

/* With blanks, not with escapes, which not every terminal has. */
void log_transient(const char *text)
{
	char line[160];
	int length;

	if ((held || never_waits) && !is_taken())
		return;
	if (!text) {
		if (transient)
			fprintf(stderr, "\r%*s\r", transient, "");
		transient = 0;
		return;
	}
	if (log_level < 0 || !log_is_terminal())
		return;
	snprintf(line, sizeof(line), "masqbpf: %s", text);
	length = fprintf(stderr, "\r%-*s", transient, line) - 1;
	if (length > transient)
		transient = length;
}

/* One write per line: lines of two processes on one stderr do not mix. */
static void log_line(const char *kind, const char *fmt, va_list ap)
{
	char text[2048], safe[2048];
	int saved_errno = errno;
	int columns = log_is_terminal() ? term_width(stderr) : 0;

	vsnprintf(text, sizeof(text), fmt, ap);
	/* what came from a file or a name makes no lines of its own */
	safe_text(text, safe, sizeof(safe));
	if (has_to_wait()) {
		keep_waiting(kind, safe);
		errno = saved_errno;
		return;
	}
	if (transient)
		log_transient(NULL);
	/* who looks through many lines wants each in one; a terminal tears */
	if (columns)
		words_print(stderr, INDENT, "masqbpf: %s%s\n", kind, safe);
	else
		fprintf(stderr, "masqbpf: %s%s\n", kind, safe);
	errno = saved_errno;
}

#define LOG(name, kind, least)           \
	void name(const char *fmt, ...)  \
	{                                \
		va_list ap;              \
                                         \
		if (log_level < (least)) \
			return;          \
		va_start(ap, fmt);       \
		log_line(kind, fmt, ap); \
		va_end(ap);              \
	}

LOG(log_error, "", -1)
LOG(log_warn, "warning: ", 0)
LOG(log_info, "", 0)
LOG(log_debug, "", 1)

void log_errors(const char *lines)
{
	size_t length = strcspn(lines, "\n");

	log_error("%.*s", (int)length, lines);
	if (lines[length])
		log_errors(lines + length + 1);
}
