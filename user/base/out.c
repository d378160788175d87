// SPDX-License-Identifier: GPL-2.0-only
/*
 * out.c - what goes to stdout (JSON, tables) and to stderr (one-line
 * messages). Streaming: a walk over a quarter of a million flows must not be
 * held in memory to be printed.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/out.h"

/* --- stderr ------------------------------------------------------------ */

int log_level;
static int transient; /* characters on the terminal that are to go again */

bool log_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

/* With blanks, not with escapes, which not every terminal has. */
void log_transient(const char *text)
{
	char line[160];
	int length;

	if (!text) {
		if (transient)
			fprintf(stderr, "\r%*s\r", transient, "");
		transient = 0;
		return;
	}
	if (log_level < 0 || !log_is_terminal())
		return;
	snprintf(line, sizeof(line), "masqbpf: %s", text);
	length = fprintf(stderr, "\r%-*s", transient, line) - 1;
	if (length > transient)
		transient = length;
}

/* One write per line: lines of two processes on one stderr do not mix. */
static void log_line(const char *kind, const char *fmt, va_list ap)
{
	char text[2048];
	int saved_errno = errno;

	vsnprintf(text, sizeof(text), fmt, ap);
	/* what came from a file or a name must not make lines of its own */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (transient)
		log_transient(NULL);
	fprintf(stderr, "masqbpf: %s%s\n", kind, text);
	errno = saved_errno;
}

#define LOG(name, kind, least)           \
	void name(const char *fmt, ...)  \
	{                                \
		va_list ap;              \
                                         \
		if (log_level < (least)) \
			return;          \
		va_start(ap, fmt);       \
		log_line(kind, fmt, ap); \
		va_end(ap);              \
	}

LOG(log_error, "", -1)
LOG(log_warn, "warning: ", 0)
LOG(log_info, "", 0)
LOG(log_debug, "", 1)

/* --- JSON -------------------------------------------------------------- */

/* Length of the UTF-8 sequence at s, 0 when it is none. */
static int utf8_length(const char *s)
{
	unsigned char c = *s;
	int length = c < 0x80		     ? 1
		     : c >= 0xc2 && c < 0xe0 ? 2
		     : c >= 0xe0 && c < 0xf0 ? 3
		     : c >= 0xf0 && c < 0xf5 ? 4
					     : 0;

	for (int i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

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
		} else if (c < ' ' || c == 0x7f) {
			snprintf(escape, sizeof(escape), "\\u%04x", c);
			json_puts(j, escape);
		} else if (!utf8_length(s)) {
			json_puts(j, "\\ufffd");
		} else {
			int length = utf8_length(s);

			json_put(j, s, length);
			s += length - 1;
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

char *put_u64(char *at, uint64_t n)
{
	char digits[20], *c = digits + sizeof(digits);

	do {
		*--c = '0' + n % 10;
		n /= 10;
	} while (n);
	return mempcpy(at, c, digits + sizeof(digits) - c);
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

void json_s64(struct json *j, const char *key, int64_t value)
{
	char digits[24];

	json_lead(j, key);
	snprintf(digits, sizeof(digits), "%lld", (long long)value);
	json_puts(j, digits);
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

/* --- tables ------------------------------------------------------------ */

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
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	table_add(t, text);
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

/* --- numbers for people ------------------------------------------------ */

static const char *copy(char *buf, size_t len, const char *text)
{
	size_t length = strnlen(text, len - 1);

	memcpy(buf, text, length);
	buf[length] = '\0';
	return buf;
}

/* In whole numbers: what this leaves out is no part of three digits. */
static const char *human(uint64_t n, unsigned int base,
			 const char *const *units, char *buf, size_t len)
{
	uint64_t rest = 0, tenths;
	char text[32], *c = text;
	int unit = 0;

	/* 999.5 would be printed as 1000: it belongs to the next unit */
	while (units[unit + 1] && n + (unit && 2 * rest >= base) >= base) {
		rest = n % base;
		n /= base;
		unit++;
	}
	tenths = 10 * n + (10 * rest + base / 2) / base;
	if (unit && tenths < 1000) {
		c = put_u64(c, tenths / 10);
		*c++ = '.';
		c = put_u64(c, tenths % 10);
	} else {
		c = put_u64(c, n + (unit && 2 * rest >= base));
	}
	strcpy(c, units[unit]);
	return copy(buf, len, text);
}

const char *human_count(uint64_t n, char *buf, size_t len)
{
	static const char *const units[] = { "",  "K", "M", "G",
					     "T", "P", "E", NULL };

	return human(n, 1000, units, buf, len);
}

const char *human_bytes(uint64_t n, char *buf, size_t len)
{
	static const char *const units[] = { " B",   " KiB", " MiB", " GiB",
					     " TiB", " PiB", " EiB", NULL };

	return human(n, 1024, units, buf, len);
}

static char *put_two(char *c, unsigned int n, char unit)
{
	*c++ = '0' + n / 10;
	*c++ = '0' + n % 10;
	*c++ = unit;
	return c;
}

/* The two largest units: "45s", "3m20s", "2h05m", "11d04h". */
const char *human_age(uint64_t s, char *buf, size_t len)
{
	unsigned int h = s / 3600 % 24, m = s / 60 % 60;
	char text[32], *c = text;

	if (s >= 86400) {
		c = put_u64(c, s / 86400);
		*c++ = 'd';
		c = put_two(c, h, 'h');
	} else if (h) {
		c = put_u64(c, h);
		*c++ = 'h';
		c = put_two(c, m, 'm');
	} else {
		if (m) {
			c = put_u64(c, m);
			*c++ = 'm';
		}
		c = m ? put_two(c, s % 60, 's') : put_u64(c, s);
		if (!m)
			*c++ = 's';
	}
	*c = '\0';
	return copy(buf, len, text);
}

/* --- colour ------------------------------------------------------------ */

static const char *color(FILE *f, const char *code)
{
	const char *no_color = getenv("NO_COLOR");

	if ((no_color && *no_color) || !isatty(fileno(f)))
		return "";
	return code;
}

const char *color_red(FILE *f)
{
	return color(f, "\033[31m");
}

const char *color_green(FILE *f)
{
	return color(f, "\033[32m");
}

const char *color_yellow(FILE *f)
{
	return color(f, "\033[33m");
}

const char *color_bold(FILE *f)
{
	return color(f, "\033[1m");
}

const char *color_off(FILE *f)
{
	return color(f, "\033[0m");
}

int out_finish(void)
{
	struct pollfd pipe = { .fd = STDOUT_FILENO, .events = POLLOUT };
	int err = 0;

	if (fflush(stdout))
		err = errno;
	else if (ferror(stdout))
		err = EIO;
	if (!err)
		return 0;
	/* `masqbpf flows | head` is nobody's mistake */
	if (poll(&pipe, 1, 0) != 1 || !(pipe.revents & POLLERR))
		log_error("stdout: write failed: %s", strerror(err));
	return -EIO;
}
