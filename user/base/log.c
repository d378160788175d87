// SPDX-License-Identifier: GPL-2.0-only
/* log.c - one-line messages, and the line that goes again. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/safe.h"
#include "base/term.h"
#include "base/words.h"

#define INDENT 4 /* of what goes on in another line */

int log_level;
static int transient; /* characters on the terminal that are to go again */

bool log_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

/* With blanks, not with escapes, which not every terminal has. */
void log_transient(const char *text)
{
	char line[160];
	int length;

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
