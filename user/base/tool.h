/* SPDX-License-Identifier: GPL-2.0-only */
/* tool.h - runs another program: iptables and nft, for what is theirs. */
#ifndef MASQ_TOOL_H
#define MASQ_TOOL_H

#include <stdbool.h>

/* This program, as one of these. */
#define TOOL_SELF "/proc/self/exe"

/* Is it in PATH or, where PATH forgets them, in the sbin directories? */
bool tool_exists(const char *name);

/*
 * Runs argv[0] with `input` (NULL: none) as standard input; its stderr is
 * ours. output (NULL: ours, too): all of its standard output, to be freed. Its
 * exit status, or -errno (-ENOENT: no such program; -EINTR: a signal has ended
 * it; of a stranger's program -ETIMEDOUT: it was not done after a minute, -EFBIG:
 * it printed without end, both of which ended it; -EBADMSG: zero bytes in what it
 * printed).
 */
int tool_run(char *const argv[], const char *input, char **output);
/*
 * The same for a person to read: *output (to be freed, may be NULL) is what it
 * printed on both its outputs, *length bytes, as far as it got, however it ended.
 */
int tool_words(char *const argv[], char **output, size_t *length);
/* What tool_run has returned, in words. */
const char *tool_why(int err);

#endif
