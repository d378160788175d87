// SPDX-License-Identifier: GPL-2.0-only
/* doc_runs.c - finding the runs; see doc_runs.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "doc_runs.h"

#define ITEM_MAX 64 /* longer is no prefix */

/*
 * "   - 10.0.0.0/8\n": the length of the line, 0 when it is of another form.
 * Whatever begins and ends like this, with no blank in it and nothing that
 * means anything to YAML, is a plain scalar.
 */
static size_t item_line(const char *line, const char *end, size_t *indent)
{
	const char *p = line, *item;

	while (p < end && *p == ' ')
		p++;
	*indent = p - line;
	if (end - p < 4 || p[0] != '-' || p[1] != ' ')
		return 0;
	item = p += 2;
	if (!isxdigit((unsigned char)*p))
		return 0;
	while (p < end && (isxdigit((unsigned char)*p) || *p == '.' ||
			   *p == ':' || *p == '/'))
		p++;
	if (p == end || *p != '\n' || !isdigit((unsigned char)p[-1]) ||
	    p - item > ITEM_MAX)
		return 0;
	return p + 1 - line;
}

static bool has(const char *text, const char *end, const char *bytes)
{
	size_t length = strlen(bytes);

	while ((text = memchr(text, *bytes, end - text))) {
		if ((size_t)(end - text) >= length &&
		    !memcmp(text, bytes, length))
			return true;
		text++;
	}
	return false;
}

/* Where YAML breaks lines and we do not, lines cannot be told by number. */
static bool has_other_breaks(const char *text, const char *end)
{
	return has(text, end, "\r") || has(text, end, "\xc2\x85") ||
	       has(text, end, "\xe2\x80\xa8") || has(text, end, "\xe2\x80\xa9");
}

/* Counts the lines of a run; where its last one begins, and the next. */
static size_t measure(const char *line, const char *end, size_t indent,
		      const char **last, const char **next)
{
	size_t count = 0, other, length;

	*next = line;
	while ((length = item_line(*next, end, &other)) && other == indent) {
		*last = *next;
		*next += length;
		count++;
	}
	return count;
}

char *runs_shorten(const char *text, size_t length, size_t *shorter,
		   struct runs *runs)
{
	const char *p = text, *end = text + length, *copied = text;
	const char *last = NULL, *next = NULL;
	size_t line = 0, indent, count;
	char *out, *to;

	runs->count = 0;
	if (length < RUN_MIN || has_other_breaks(text, end))
		return NULL;
	to = out = malloc(length);
	while (out && p < end && runs->count < RUNS_MAX) {
		size_t first = item_line(p, end, &indent);

		count = first ? measure(p, end, indent, &last, &next) : 0;
		if (count >= RUN_MIN) {
			runs->run[runs->count++] = (struct run){
				.line = line,
				.indent = indent,
				.from = p + first,
				.left_out = count - 2,
			};
			to = mempcpy(to, copied, p + first - copied);
			copied = last;
			line += 2;
		} else if (!first) {
			next = memchr(p, '\n', end - p);
			next = next ? next + 1 : end;
			line++;
		} else {
			line += count;
		}
		p = next;
	}
	if (!runs->count) {
		free(out);
		return NULL;
	}
	to = mempcpy(to, copied, end - copied);
	*shorter = to - out;
	return out;
}

const char *run_item(const struct run *run, const char **line, size_t *length)
{
	const char *item = *line + run->indent + 2;

	*length = strchr(item, '\n') - item;
	*line = item + *length + 1;
	return item;
}
