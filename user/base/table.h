/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - aligned tables: columns as wide as their widest cell. A row that is
 * wider than what it is printed on (term.h) goes on in the next line; no cell
 * is ever cut.
 */
#ifndef MASQ_BASE_TABLE_H
#define MASQ_BASE_TABLE_H

#include <stdio.h>

struct table;
/* headers: NULL-terminated; a leading '>' right-aligns the column. */
struct table *table_new(const char *const *headers);
void table_cell(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The colour of the cell that was added last: color.h, of the same file. */
void table_color(struct table *t, const char *color);
void table_row_end(struct table *t);
void table_print(struct table *t, FILE *file); /* prints and frees */

#endif
