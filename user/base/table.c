// SPDX-License-Identifier: GPL-2.0-only
/* table.c - cells first, then the widths, then the text. */
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/color.h"
#include "base/log.h"
#include "base/safe.h"
#include "base/table.h"
#include "base/term.h"
#include "base/words.h"

#define TABLE_COLUMNS 24
#define INDENT	      4 /* of what goes on in another line */

struct table {
	int columns;
	bool right[TABLE_COLUMNS];
	int width[TABLE_COLUMNS];
	char **cells; /* rows * columns, the header first */
	const char **colors; /* of each; NULL: none */
	size_t count, room;
};

static void table_add(struct table *t, char *text)
{
	int column = t->count % t->columns;

	if (t->count == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		t->cells = reallocarray(t->cells, t->room, sizeof(char *));
		t->colors = reallocarray(t->colors, t->room, sizeof(char *));
	}
	if (!text || !t->cells || !t->colors) {
		/* a printer has nobody to hand -ENOMEM to */
		log_error("table: out of memory");
		exit(1);
	}
	if (term_text_width(text) > t->width[column])
		t->width[column] = term_text_width(text);
	t->colors[t->count] = NULL;
	t->cells[t->count++] = text;
}

void table_color(struct table *t, const char *color)
{
	t->colors[t->count - 1] = color;
}

struct table *table_new(const char *const *headers)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t) {
		log_error("table: out of memory");
		exit(1);
	}
	while (headers[t->columns] && t->columns < TABLE_COLUMNS) {
		t->right[t->columns] = headers[t->columns][0] == '>';
		t->columns++;
	}
	for (int i = 0; i < t->columns; i++)
		table_add(t, strdup(headers[i] + t->right[i]));
	return t;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char *text, *safe = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text)
		safe = strdup(shown(text));
	free(text);
	table_add(t, safe);
}

/* Fills a row that has fewer cells than the table has columns. */
void table_row_end(struct table *t)
{
	while (t->count % t->columns)
		table_add(t, strdup(""));
}

/* Without the blanks behind the last text. */
static int row_width(const struct table *t, char *const *cells)
{
	int width = 0, all = 0;

	for (int i = 0; i < t->columns; i++) {
		int own = term_text_width(cells[i]);

		/* its column was made narrower */
		if (own > t->width[i])
			return INT_MAX;
		if (own)
			all = width + (t->right[i] ? t->width[i] : own);
		width += t->width[i] + 2;
	}
	return all;
}

/* A cell that is longer than a line goes on in others; returns where it ends. */
static int print_cell(const char *text, int room, int at, FILE *file)
{
	const char *next = text;

	while (next) {
		size_t length;

		text = next;
		length = words_line(text, room ? room - at : INT_MAX, &next);
		fprintf(file, "%.*s", (int)length, text);
		if (next)
			fprintf(file, "\n%*s", at = INDENT, "");
	}
	return at + term_text_width(text);
}

/* Of the columns from..to, with what is between them. */
static int columns_width(const struct table *t, int from, int to)
{
	int width = 0;

	for (int i = from; i < to; i++)
		width += t->width[i] + 2;
	return width;
}

/*
 * Where one long cell would push all rows out of the screen, its column is only
 * as wide as those that leave room for the others; the last column has a line
 * of its own where it needs one.
 */
static void narrow(struct table *t, int room)
{
	int widest = 0, most, own = 0;

	for (int i = 1; i < t->columns - 1; i++)
		if (!t->right[i] && t->width[i] > t->width[widest])
			widest = i;
	most = t->width[widest] + room + 2 -
	       columns_width(t, 0, t->columns - !t->right[t->columns - 1]);
	if (most >= t->width[widest])
		return;
	for (size_t i = widest; i < t->count; i += t->columns) {
		int width = term_text_width(t->cells[i]);

		if (width <= most && width > own)
			own = width;
	}
	/* not even its header: all of it breaks where it must */
	if (own)
		t->width[widest] = own;
}

/*
 * A cell that is longer than its column ends its line, and the others go on in
 * the next one, each in its column; where a cell has no room it begins a line,
 * and columns end there.
 */
static void print_row(const struct table *t, size_t row, int room, FILE *file)
{
	char *const *cells = &t->cells[row * t->columns];
	const char *const *colors = &t->colors[row * t->columns];
	bool whole = !room || row_width(t, cells) <= room, columns = true;
	int at = 0, blanks = 0, last = t->columns - 1;

	while (last && !*cells[last])
		last--;
	for (int i = 0; i <= last; i++) {
		int own = term_text_width(cells[i]);
		int pad = columns ? t->width[i] - own : 0;
		int before = t->right[i] && pad > 0 ? pad : 0;
		/* it is the column's fault, not that of the line */
		bool alone = pad < 0 && i < last &&
			     columns_width(t, 0, t->columns - 1) <= room + 2;

		if (!whole && at && own && at + blanks + before + own > room) {
			fputc('\n', file);
			columns = columns && alone;
			blanks = INDENT;
			at = before = 0;
			pad = alone ? pad : 0;
		} else if (!whole && !at && blanks > INDENT &&
			   blanks + before + own > room) {
			/* behind a cell alone, and no room in its column */
			columns = false;
			blanks = INDENT;
			before = 0;
		}
		if (own || whole) {
			at += blanks + before;
			fprintf(file, "%*s%s", blanks + before, "",
				colors[i] ?: "");
			at = print_cell(cells[i], whole ? 0 : room, at, file);
			fputs(colors[i] ? color_off(file) : "", file);
			blanks = 0;
		}
		if (alone) {
			fputc('\n', file);
			at = 0;
			blanks = columns_width(t, 0, i + 1);
			continue;
		}
		blanks += t->right[i] || pad < 0 ? 2 : 2 + pad;
	}
	fputc('\n', file);
}

void table_print(struct table *t, FILE *file)
{
	int room = term_width(file);

	if (room)
		narrow(t, room);
	for (size_t row = 0; row < t->count / t->columns; row++)
		print_row(t, row, room, file);
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->colors);
	free(t->cells);
	free(t);
}
