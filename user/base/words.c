// SPDX-License-Identifier: GPL-2.0-only
/* words.c - breaks lines between words. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/term.h"
#include "base/words.h"

/* Bytes of the colour that begins here; 0: none does. */
static size_t color_length(const char *s)
{
	size_t length;

	if (s[0] != '\033' || s[1] != '[')
		return 0;
	length = 2 + strspn(s + 2, "0123456789;");
	return s[length] == 'm' ? length + 1 : 0;
}

size_t words_line(const char *text, int columns, const char **next)
{
	size_t end = 0; /* of the words that fit */
	int width = 0;
	bool first = true;
	const char *c = text;

	*next = NULL;
	while (*c) {
		size_t length;

		/* blanks and the word behind them */
		while (*c == ' ') {
			width++;
			c++;
		}
		while (*c && *c != ' ') {
			length = color_length(c);
			if (!length)
				width += (*c & 0xc0) != 0x80;
			c += length ?: 1;
		}
		if (width > columns && !first) {
			*next = text + end + strspn(text + end, " ");
			/* nothing but blanks is left */
			if (!**next)
				*next = NULL;
			return end;
		}
		first = false;
		end = c - text;
	}
	return end;
}

static void print_line(FILE *file, int columns, int indent, const char *text)
{
	const char *next;
	size_t length = words_line(text, columns, &next);

	fprintf(file, "%.*s\n", (int)length, text);
	while (next) {
		text = next;
		length = words_line(text, columns - indent, &next);
		fprintf(file, "%*s%.*s\n", indent, "", (int)length, text);
	}
}

/* A printer has nobody to hand -ENOMEM to. */
static void no_memory(void)
{
	fprintf(stderr, "masqbpf: out of memory\n");
	exit(1);
}

FILE *words_begin(struct words *w)
{
	*w = (struct words){};
	w->file = open_memstream(&w->text, &w->size);
	if (!w->file)
		no_memory();
	return w->file;
}

void words_end(struct words *w, FILE *file, int indent)
{
	int columns = term_width(file);
	char *line, *rest;

	if (fclose(w->file))
		no_memory();
	if (indent > columns / 2)
		indent = columns / 2;
	for (rest = w->text; columns && (line = strsep(&rest, "\n"));)
		if (rest || *line)
			print_line(file, columns, indent, line);
	if (!columns)
		fputs(w->text, file);
	free(w->text);
}

void words_print(FILE *file, int indent, const char *fmt, ...)
{
	struct words words;
	va_list ap;

	va_start(ap, fmt);
	vfprintf(words_begin(&words), fmt, ap);
	va_end(ap);
	words_end(&words, file, indent);
}
