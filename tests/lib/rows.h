/* SPDX-License-Identifier: GPL-2.0-only */
/* rows.h - cmocka checks for tables: a failure names the row it is about. */
#ifndef MASQ_ROWS_H
#define MASQ_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

/* cmocka's line of a skipped test has no room for the reason. */
#define skip_because(why)                    \
	do {                                 \
		printf("# skip: %s\n", why); \
		fflush(stdout);              \
		skip();                      \
	} while (0)

#define row_true(row, cond)                                       \
	do {                                                      \
		if (!(cond))                                      \
			fail_msg("row \"%s\": %s", (row), #cond); \
	} while (0)

#define row_text(row, got, want)                                               \
	do {                                                                   \
		if (strcmp(got, want))                                         \
			fail_msg("row \"%s\": got \"%s\", want \"%s\"", (row), \
				 (got), (want));                               \
	} while (0)

/* The message contains this. */
#define row_says(row, message, text)                                       \
	do {                                                               \
		if (!strstr(message, text))                                \
			fail_msg("row \"%s\": \"%s\" does not say \"%s\"", \
				 (row), (message), (text));                \
	} while (0)

#endif
