// SPDX-License-Identifier: GPL-2.0-only
/* color.c - only on a terminal, and never with NO_COLOR. */
#include <stdlib.h>
#include <unistd.h>
#include "base/color.h"

static const char *color(FILE *f, const char *code)
{
	const char *no_color = getenv("NO_COLOR");

	if ((no_color && *no_color) || !isatty(fileno(f)))
		return "";
	return code;
}

const char *color_red(FILE *f)
{
	return color(f, "\033[31m");
}

const char *color_green(FILE *f)
{
	return color(f, "\033[32m");
}

const char *color_yellow(FILE *f)
{
	return color(f, "\033[33m");
}

const char *color_bold(FILE *f)
{
	return color(f, "\033[1m");
}

const char *color_off(FILE *f)
{
	return color(f, "\033[0m");
}
