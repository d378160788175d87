// SPDX-License-Identifier: GPL-2.0-only
/*
 * out.c - what goes to stdout (JSON, tables) and to stderr (one-line
 * messages). Streaming: a walk over a quarter of a million flows must not be
 * held in memory to be printed.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "out.h"

/* --- stderr ------------------------------------------------------------ */

int log_level;

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

/* Paths and interface names are bytes; JSON is UTF-8 only. */
static void json_text(struct json *j, const char *s)
{
	FILE *f = j->file;

	putc_unlocked('"', f);
	while (*s) {
		const char *plain = s;
		unsigned char c;

		/* nearly all there is: nothing in it needs a second look */
		while ((c = *s) >= ' ' && c < 0x7f && c != '"' && c != '\\')
			s++;
		fwrite_unlocked(plain, 1, s - plain, f);
		if (!c)
			break;
		if (c == '"' || c == '\\') {
			putc_unlocked('\\', f);
			putc_unlocked(c, f);
		} else if (c == '\n') {
			fputs_unlocked("\\n", f);
		} else if (c == '\t') {
			fputs_unlocked("\\t", f);
		} else if (c < ' ' || c == 0x7f) {
			fprintf(f, "\\u%04x", c);
		} else if (!utf8_length(s)) {
			fputs_unlocked("\\ufffd", f);
		} else {
			int length = utf8_length(s);

			fwrite_unlocked(s, 1, length, f);
			s += length - 1;
		}
		s++;
	}
	putc_unlocked('"', f);
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
	size_t length;

	if (!j->first)
		*c++ = ',';
	if (j->depth && !j->one_line)
		c = put_newline(c, j->depth);
	j->first = false;
	if (key) {
		length = strnlen(key, 100);
		*c++ = '"';
		c = mempcpy(c, key, length);
		c = mempcpy(c, "\": ", 3);
	}
	fwrite_unlocked(lead, 1, c - lead, j->file);
}

/* A printf for each number would be half the time of a long listing. */
static void json_digits(struct json *j, uint64_t value)
{
	char digits[20], *c = digits + sizeof(digits);

	do {
		*--c = '0' + value % 10;
		value /= 10;
	} while (value);
	fwrite_unlocked(c, 1, digits + sizeof(digits) - c, j->file);
}

static void json_open(struct json *j, const char *key, char bracket)
{
	json_lead(j, key);
	putc_unlocked(bracket, j->file);
	j->depth++;
	j->first = true;
}

static void json_close(struct json *j, char bracket)
{
	char lead[256];

	j->depth--;
	if (!j->first && !j->one_line)
		fwrite_unlocked(lead, 1, put_newline(lead, j->depth) - lead,
				j->file);
	putc_unlocked(bracket, j->file);
	j->first = false;
}

void json_begin(struct json *j, FILE *file)
{
	*j = (struct json){ .file = file, .first = true };
}

void json_begin_line(struct json *j, FILE *file)
{
	*j = (struct json){ .file = file, .first = true, .one_line = true };
}

void json_end(struct json *j)
{
	putc_unlocked('\n', j->file);
}

void json_object(struct json *j, const char *key)
{
	json_open(j, key, '{');
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
	json_lead(j, key);
	json_digits(j, value);
}

void json_s64(struct json *j, const char *key, int64_t value)
{
	json_lead(j, key);
	fprintf(j->file, "%lld", (long long)value);
}

void json_double(struct json *j, const char *key, double value)
{
	uint64_t thousandths;

	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	json_lead(j, key);
	if (value < 0 || value > 1e12) {
		fprintf(j->file, "%.3f", value);
		return;
	}
	thousandths = value * 1000 + 0.5;
	json_digits(j, thousandths / 1000);
	putc_unlocked('.', j->file);
	for (int unit = 100; unit; unit /= 10)
		putc_unlocked('0' + thousandths / unit % 10, j->file);
}

void json_bool(struct json *j, const char *key, bool value)
{
	json_lead(j, key);
	fputs(value ? "true" : "false", j->file);
}

void json_null(struct json *j, const char *key)
{
	json_lead(j, key);
	fputs("null", j->file);
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

static const char *human(uint64_t n, unsigned int base,
			 const char *const *units, char *buf, size_t len)
{
	double value = n;
	int unit = 0;

	/* 999.5 would be printed as 1000: it belongs to the next unit */
	while (units[unit + 1] && value >= (unit ? base - 0.5 : base)) {
		value /= base;
		unit++;
	}
	snprintf(buf, len, unit && value < 99.95 ? "%.1f%s" : "%.0f%s", value,
		 units[unit]);
	return buf;
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

/* The two largest units: "45s", "3m20s", "2h05m", "11d04h". */
const char *human_age(uint64_t s, char *buf, size_t len)
{
	unsigned long long d = s / 86400;
	unsigned int h = s / 3600 % 24, m = s / 60 % 60;

	if (d)
		snprintf(buf, len, "%llud%02uh", d, h);
	else if (h)
		snprintf(buf, len, "%uh%02um", h, m);
	else if (m)
		snprintf(buf, len, "%um%02us", m, (unsigned int)(s % 60));
	else
		snprintf(buf, len, "%us", (unsigned int)s);
	return buf;
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
