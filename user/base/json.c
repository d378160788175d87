// SPDX-License-Identifier: GPL-2.0-only
/*
 * json.c - the JSON writer. Streaming: a walk over a quarter of a million flows
 * must not be held in memory to be printed.
 */
#include <limits.h>
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "base/safe.h"
#include "base/units.h"

static void json_flush(struct json *j)
{
	fwrite_unlocked(j->text, 1, j->used, j->file);
	j->used = 0;
}

static void json_put(struct json *j, const char *text, size_t length)
{
	if (length > sizeof(j->text) - j->used)
		json_flush(j);
	if (length > sizeof(j->text)) {
		fwrite_unlocked(text, 1, length, j->file);
		return;
	}
	memcpy(j->text + j->used, text, length);
	j->used += length;
}

static void json_putc(struct json *j, char c)
{
	json_put(j, &c, 1);
}

static void json_puts(struct json *j, const char *text)
{
	json_put(j, text, strlen(text));
}

/* Paths and interface names are bytes; JSON is UTF-8 only. */
static void json_text(struct json *j, const char *s)
{
	char escape[8];

	json_putc(j, '"');
	while (*s) {
		const char *plain = s;
		unsigned char c;

		/* nearly all there is: nothing in it needs a second look */
		while ((c = *s) >= ' ' && c < 0x7f && c != '"' && c != '\\')
			s++;
		json_put(j, plain, s - plain);
		if (!c)
			break;
		if (c == '"' || c == '\\') {
			json_putc(j, '\\');
			json_putc(j, c);
		} else if (c == '\n') {
			json_puts(j, "\\n");
		} else if (c == '\t') {
			json_puts(j, "\\t");
		} else if (c < 0x80) {
			snprintf(escape, sizeof(escape), "\\u%04x", c);
			json_puts(j, escape);
		} else if (safe_length(s)) {
			int length = safe_length(s);

			json_put(j, s, length);
			s += length - 1;
		} else {
			unsigned int code = 0xfffd;
			int length = safe_utf8(s, &code);

			/* all that a terminal should not see is below 2^16 */
			snprintf(escape, sizeof(escape), "\\u%04x", code);
			json_puts(j, escape);
			s += length ? length - 1 : 0;
		}
		s++;
	}
	json_putc(j, '"');
}

static char *put_newline(char *c, int depth)
{
	*c++ = '\n';
	memset(c, ' ', 2 * depth);
	return c + 2 * depth;
}

/*
 * The comma, the line break, the indent and the key before a value: all that
 * repeats in each row, so in one piece. Keys are words of ours; nothing in
 * them needs an escape.
 */
static void json_lead(struct json *j, const char *key)
{
	char lead[256], *c = lead;

	if (!j->first)
		*c++ = ',';
	if (j->depth && j->depth < j->line_depth)
		c = put_newline(c, j->depth);
	j->first = false;
	if (key) {
		*c++ = '"';
		c = mempcpy(c, key, strnlen(key, 100));
		c = mempcpy(c, "\": ", 3);
	}
	json_put(j, lead, c - lead);
}

static void json_open(struct json *j, const char *key, char bracket)
{
	json_lead(j, key);
	json_putc(j, bracket);
	j->depth++;
	j->first = true;
}

static void json_close(struct json *j, char bracket)
{
	char lead[256];

	if (!j->first && j->depth < j->line_depth)
		json_put(j, lead, put_newline(lead, j->depth - 1) - lead);
	if (j->depth == j->line_depth)
		j->line_depth = INT_MAX;
	j->depth--;
	json_putc(j, bracket);
	j->first = false;
}

static void json_start(struct json *j, FILE *file, int line_depth)
{
	j->file = file;
	j->depth = 0;
	j->line_depth = line_depth;
	j->first = true;
	j->used = 0;
}

void json_begin(struct json *j, FILE *file)
{
	json_start(j, file, INT_MAX);
}

void json_begin_line(struct json *j, FILE *file)
{
	json_start(j, file, 0);
}

void json_end(struct json *j)
{
	json_putc(j, '\n');
	json_flush(j);
}

void json_object(struct json *j, const char *key)
{
	json_open(j, key, '{');
}

void json_object_line(struct json *j, const char *key)
{
	json_object(j, key);
	if (j->line_depth > j->depth)
		j->line_depth = j->depth;
}

void json_object_end(struct json *j)
{
	json_close(j, '}');
}

void json_array(struct json *j, const char *key)
{
	json_open(j, key, '[');
}

void json_array_end(struct json *j)
{
	json_close(j, ']');
}

void json_string(struct json *j, const char *key, const char *value)
{
	json_lead(j, key);
	json_text(j, value);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	char digits[20];

	json_lead(j, key);
	json_put(j, digits, put_u64(digits, value) - digits);
}

void json_number(struct json *j, const char *key, const char *text)
{
	json_lead(j, key);
	json_puts(j, text);
}

void json_double(struct json *j, const char *key, double value)
{
	char digits[400], *c; /* 1e308 has 309 of them */
	uint64_t thousandths;

	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	json_lead(j, key);
	if (value < 0 || value > 1e12) {
		snprintf(digits, sizeof(digits), "%.3f", value);
		json_puts(j, digits);
		return;
	}
	thousandths = value * 1000 + 0.5;
	c = put_u64(digits, thousandths / 1000);
	*c++ = '.';
	for (int unit = 100; unit; unit /= 10)
		*c++ = '0' + thousandths / unit % 10;
	json_put(j, digits, c - digits);
}

void json_bool(struct json *j, const char *key, bool value)
{
	json_lead(j, key);
	json_puts(j, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	json_lead(j, key);
	json_puts(j, "null");
}
