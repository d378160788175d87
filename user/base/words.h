/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * words.h - text that goes on in the next line where the screen (term.h) ends:
 * between words, for an address that is torn in two is another one.
 */
#ifndef MASQ_BASE_WORDS_H
#define MASQ_BASE_WORDS_H

#include <stddef.h>
#include <stdio.h>

/*
 * Of one line of text, how many bytes go into so many columns; *next is where
 * the next line begins, NULL: that was all. A longer word is left whole.
 * Colours (ESC[...m) take no room.
 */
size_t words_line(const char *text, int columns, const char **next);

/*
 * As printf, with every further line that it takes indented. Lines of the text
 * itself begin at its newlines, the first where the file stands: at a line's
 * beginning.
 */
void words_print(FILE *file, int indent, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for text that is put together piece by piece: written to the file
 * that words_begin returns, printed and freed by words_end.
 */
struct words {
	FILE *file;
	char *text;
	size_t size;
};
FILE *words_begin(struct words *w);
void words_end(struct words *w, FILE *file, int indent);

#endif
