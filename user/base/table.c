// SPDX-License-Identifier: GPL-2.0-only
/* table.c - cells first, then the widths, then the text. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/color.h"
#include "base/log.h"
#include "base/safe.h"
#include "base/table.h"
#include "base/term.h"

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

		if (own)
			all = width + (t->right[i] ? t->width[i] : own);
		width += t->width[i] + 2;
	}
	return all;
}

/* Where a cell has no room it begins a line, and columns end there. */
static void print_row(const struct table *t, size_t row, int room, FILE *file)
{
	char *const *cells = &t->cells[row * t->columns];
	const char *const *colors = &t->colors[row * t->columns];
	bool whole = !room || row_width(t, cells) <= room, columns = true;
	int at = 0, blanks = 0;

	for (int i = 0; i < t->columns; i++) {
		int own = term_text_width(cells[i]);
		int pad = columns ? t->width[i] - own : 0;
		int before = t->right[i] ? pad : 0;

		if (!whole && at && own && at + blanks + before + own > room) {
			fputc('\n', file);
			columns = false;
			blanks = INDENT;
			at = pad = before = 0;
		}
		if (own || whole) {
			fprintf(file, "%*s", blanks + before, "");
			fprintf(file, "%s%s%s", colors[i] ?: "", cells[i],
				colors[i] ? color_off(file) : "");
			at += blanks + before + own;
			blanks = 0;
		}
		blanks += t->right[i] ? 2 : 2 + pad;
	}
	fputc('\n', file);
}

void table_print(struct table *t, FILE *file)
{
	int room = term_width(file);

	for (size_t row = 0; row < t->count / t->columns; row++)
		print_row(t, row, room, file);
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->colors);
	free(t->cells);
	free(t);
}
