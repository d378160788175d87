// SPDX-License-Identifier: GPL-2.0-only
/* term.c - asked each time: it may have been resized. */
#include <stdlib.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include "base/term.h"

int term_width(FILE *f)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long number;

	if (isatty(fileno(f)) && !ioctl(fileno(f), TIOCGWINSZ, &size) &&
	    size.ws_col)
		return size.ws_col;
	number = columns ? strtol(columns, NULL, 10) : 0;
	return number >= 1 && number <= 10000 ? number : 0;
}

int term_text_width(const char *s)
{
	int width = 0;

	for (; *s; s++)
		width += (*s & 0xc0) != 0x80;
	return width;
}
