/* SPDX-License-Identifier: GPL-2.0-only */
/* top_text.h - numbers of rows, as the screen and --once have them. */
#ifndef MASQ_CLI_TOP_TEXT_H
#define MASQ_CLI_TOP_TEXT_H

#include <stddef.h>
#include "cli/top.h"

extern const char *const top_titles[TOP_SECTIONS];

/* Into buf; return buf. */
const char *top_bytes_text(const struct top *top, double rate, char *buf,
			   size_t len);
const char *top_count_text(double rate, char *buf, size_t len);
/* "keep" ...; "": rows of this kind have none. */
const char *top_row_action(const struct top *top, enum top_section section,
			   const struct top_row *row);

#endif
