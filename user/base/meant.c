// SPDX-License-Identifier: GPL-2.0-only
/* meant.c - a distance in strokes. */
#include <ctype.h>
#include <string.h>
#include "base/meant.h"

/* Insertions, deletions, replacements and swaps of neighbours. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][MEANT_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= strlen(a); i++) {
		unsigned int *now = row[i % 3], *last = row[(i - 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= n; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);
			unsigned int best = last[j - 1] + !same;

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    row[(i - 2) % 3][j - 2] + 1 < best)
				best = row[(i - 2) % 3][j - 2] + 1;
			now[j] = best;
		}
	}
	return row[strlen(a) % 3][n];
}

bool meant_nearer(const char *typed, const char *name, unsigned int *least)
{
	size_t length = strlen(name), other = strlen(typed);
	unsigned int d;

	if (!other || other > MEANT_MAX || length > MEANT_MAX)
		return false;
	d = distance(typed, name);
	if (d >= *least || d > (length > other ? length : other) / 3)
		return false;
	*least = d;
	return true;
}
