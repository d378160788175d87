// SPDX-License-Identifier: GPL-2.0-only
/* color.c - only on a terminal, and not with NO_COLOR, unless told. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/color.h"

static enum color_when when;

bool color_choose(const char *text)
{
	static const char *const names[] = { "auto", "always", "never" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i])) {
			when = i;
			return true;
		}
	return false;
}

bool color_is_on(FILE *f)
{
	const char *no_color = getenv("NO_COLOR");

	if (when != COLOR_AUTO)
		return when == COLOR_ALWAYS;
	return !(no_color && *no_color) && isatty(fileno(f));
}

static const char *color(FILE *f, const char *code)
{
	return color_is_on(f) ? code : "";
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
