// SPDX-License-Identifier: GPL-2.0-only
/* table.c - cells first, then the widths, then the text. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/safe.h"
#include "base/table.h"

#define TABLE_COLUMNS 24

struct table {
	int columns;
	bool right[TABLE_COLUMNS];
	int width[TABLE_COLUMNS];
	char **cells; /* rows * columns, the header first */
	size_t count, room;
};

/* Columns of a UTF-8 text on the screen: all but continuation bytes. */
static int text_width(const char *s)
{
	int width = 0;

	for (; *s; s++)
		width += (*s & 0xc0) != 0x80;
	return width;
}

static void table_add(struct table *t, char *text)
{
	int column = t->count % t->columns;

	if (t->count == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		t->cells = reallocarray(t->cells, t->room, sizeof(char *));
	}
	if (!text || !t->cells) {
		/* a printer has nobody to hand -ENOMEM to */
		log_error("table: out of memory");
		exit(1);
	}
	if (text_width(text) > t->width[column])
		t->width[column] = text_width(text);
	t->cells[t->count++] = text;
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

void table_print(struct table *t, FILE *file)
{
	for (size_t i = 0; i < t->count; i++) {
		int column = i % t->columns;
		int pad = t->width[column] - text_width(t->cells[i]);
		bool last = column == t->columns - 1;

		if (t->right[column])
			fprintf(file, "%*s", pad, "");
		fputs(t->cells[i], file);
		if (!t->right[column] && !last)
			fprintf(file, "%*s", pad, "");
		fputs(last ? "\n" : "  ", file);
		free(t->cells[i]);
	}
	free(t->cells);
	free(t);
}
