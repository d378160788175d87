/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * out.h - what goes to stdout: a streaming JSON writer and aligned tables,
 * and to stderr: one-line messages.
 */
#ifndef MASQ_OUT_H
#define MASQ_OUT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* --- stderr: "masqbpf: OBJECT: what failed: why" ---------------------- */
extern int log_level; /* -1 with -q, 0, 1 with -v */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool log_is_terminal(void);
/* On a terminal, without -q: text that the next line or text replaces; NULL
 * takes it away. */
void log_transient(const char *text);

/* --- JSON: streaming, two-space indent, no tree ------------------------ */
struct json {
	FILE *file;
	int depth;
	int line_depth; /* from this depth on all is on one line */
	bool first; /* nothing written at this depth yet */
	size_t used;
	char text[8192]; /* not yet handed to file */
};
void json_begin(struct json *j, FILE *file);
/* For streams: the whole text on one line. */
void json_begin_line(struct json *j, FILE *file);
void json_end(struct json *j); /* final newline; hands all to the file */
void json_object(struct json *j, const char *key); /* key NULL in arrays */
/* The same for one of many: the whole object on one line. */
void json_object_line(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_string(struct json *j, const char *key, const char *value);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_s64(struct json *j, const char *key, int64_t value);
void json_double(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* --- tables: columns as wide as their widest cell ---------------------- */
struct table;
/* headers: NULL-terminated; a leading '>' right-aligns the column. */
struct table *table_new(const char *const *headers);
void table_cell(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void table_row_end(struct table *t);
void table_print(struct table *t, FILE *file); /* prints and frees */

/* Decimal digits to `at`, no NUL; returns their end. printf is too slow for
 * the numbers of a quarter of a million rows. */
char *put_u64(char *at, uint64_t n);

/* "1.5K" / "3.2 GiB" style numbers into buf; returns buf. */
const char *human_count(uint64_t n, char *buf, size_t len);
const char *human_bytes(uint64_t n, char *buf, size_t len);
const char *human_age(uint64_t seconds, char *buf, size_t len);

/* Colour only on a terminal, never with NO_COLOR; "" otherwise. */
const char *color_red(FILE *f);
const char *color_green(FILE *f);
const char *color_yellow(FILE *f);
const char *color_bold(FILE *f);
const char *color_off(FILE *f);

/* fflush + ferror: 0, or -EIO once stdout could not be written (said). */
int out_finish(void);

#endif
