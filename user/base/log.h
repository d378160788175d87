/* SPDX-License-Identifier: GPL-2.0-only */
/* log.h - stderr: one line each, "masqbpf: OBJECT: what failed: why". */
#ifndef MASQ_BASE_LOG_H
#define MASQ_BASE_LOG_H

#include <stdbool.h>

extern int log_level; /* -2: not a word, -1 with -q, 0, 1 with -v */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same of each line of a text. */
void log_errors(const char *lines);
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * While others wait for what we hold, a lock, lines that nobody takes (a pager,
 * a terminal that is stopped) wait in memory, and we do not. Afterwards they
 * are printed. Also: what waits is tried again.
 */
void log_hold(bool hold);
/* The same for good: of a process that never has the time. */
void log_never_wait(void);
/* Is there a line that waits for stderr to take it? */
bool log_waits(void);
bool log_is_terminal(void);
/* On a terminal, without -q: text that the next line or text replaces; NULL
 * takes it away. */
void log_transient(const char *text);

#endif
