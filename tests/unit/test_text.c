// SPDX-License-Identifier: GPL-2.0-only
/* test_text.c - JSON text, tables, numbers for people. */
#include "rows.h"
#include <math.h>
#include <stdlib.h>
#include "base/json.h"
#include "base/table.h"
#include "base/units.h"
#include "base/words.h"

static const struct {
	const char *name, *text, *json;
} strings[] = {
	{ "empty", "", "\"\"" },
	{ "plain", "eth0", "\"eth0\"" },
	{ "quote and backslash", "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "control characters", "\n\t\x01\x7f", "\"\\n\\t\\u0001\\u007f\"" },
	{ "UTF-8 of two, three, four bytes",
	  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d",
	  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d\"" },
	{ "a byte that begins nothing", "a\xffz", "\"a\\ufffdz\"" },
	{ "cut off by the end", "a\xe2\x82", "\"a\\ufffd\\ufffd\"" },
	{ "half of a pair", "\xed\xb0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
	{ "beyond the last", "\xf4\x9f\xbf\xbf",
	  "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
	{ "the last", "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" },
	{ "three bytes for two", "\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"" },
	{ "CSI in two bytes", "\xc2\x9b", "\"\\u009b\"" },
	{ "right to left", "\xe2\x80\xae", "\"\\u202e\"" },
	{ "an overlong slash", "\xc0\xaf", "\"\\ufffd\\ufffd\"" },
};

/* What print makes, as text; the caller frees it. */
static char *printed(void (*print)(struct json *j, const void *data),
		     const void *data)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	struct json j;

	assert_non_null(file);
	json_begin(&j, file);
	print(&j, data);
	json_end(&j);
	fclose(file);
	return text;
}

static void print_string(struct json *j, const void *data)
{
	json_string(j, NULL, data);
}

static void json_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(strings); i++) {
		char *text = printed(print_string, strings[i].text);

		text[strlen(text) - 1] = '\0'; /* the final newline */
		row_text(strings[i].name, text, strings[i].json);
		free(text);
	}
}

static void print_all(struct json *j, const void *data)
{
	(void)data;
	json_object(j, NULL);
	json_u64(j, "most", UINT64_MAX);
	json_u64(j, "zero", 0);
	json_double(j, "seconds", 1.25);
	json_double(j, "never", INFINITY);
	json_bool(j, "yes", true);
	json_null(j, "none");
	json_array(j, "empty");
	json_array_end(j);
	json_array(j, "list");
	json_u64(j, NULL, 1);
	json_object(j, NULL);
	json_object_end(j);
	json_array_end(j);
	json_object_end(j);
}

static void json_values(void **state)
{
	char *text = printed(print_all, NULL);

	(void)state;
	assert_string_equal(text, "{\n"
				  "  \"most\": 18446744073709551615,\n"
				  "  \"zero\": 0,\n"
				  "  \"seconds\": 1.250,\n"
				  "  \"never\": null,\n"
				  "  \"yes\": true,\n"
				  "  \"none\": null,\n"
				  "  \"empty\": [],\n"
				  "  \"list\": [\n"
				  "    1,\n"
				  "    {}\n"
				  "  ]\n"
				  "}\n");
	free(text);
}

static void print_lines(struct json *j, const void *data)
{
	json_array(j, NULL);
	for (int i = 0; i < 2; i++) {
		json_object_line(j, NULL);
		json_u64(j, "n", i);
		json_object(j, "inner");
		json_string(j, "text", data);
		json_object_end(j);
		json_object_end(j);
	}
	json_object(j, NULL);
	json_u64(j, "n", 2);
	json_object_end(j);
	json_array_end(j);
}

/* Objects on a line of their own, and a text longer than the buffer. */
static void json_lines(void **state)
{
	char *text = printed(print_lines, "x"), *much;
	char longer[20001];

	(void)state;
	assert_string_equal(text, "[\n"
				  "  {\"n\": 0,\"inner\": {\"text\": \"x\"}},\n"
				  "  {\"n\": 1,\"inner\": {\"text\": \"x\"}},\n"
				  "  {\n"
				  "    \"n\": 2\n"
				  "  }\n"
				  "]\n");
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	much = printed(print_lines, longer);
	assert_int_equal(strlen(much), strlen(text) + 2 * (20000 - 1));
	assert_memory_equal(much, "[\n  {\"n\": 0,\"inner\": {\"text\": \"yyy",
			    34);
	free(much);
	free(text);
}

static void table(void **state)
{
	static const char *const headers[] = { "NAME", ">N", "LAST", NULL };
	struct table *t = table_new(headers);
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	table_cell(t, "%s", "\xc3\xa9");
	table_cell(t, "%d", 12345);
	table_cell(t, "x");
	table_row_end(t);
	table_cell(t, "longer");
	table_row_end(t);
	table_print(t, file);
	fclose(file);
	assert_string_equal(text, "NAME        N  LAST\n"
				  "\xc3\xa9       12345  x\n"
				  "longer\n");
	free(text);
}

/* --- on a narrow screen ------------------------------------------------ */

/* What that prints on a screen of so many columns; the caller frees it. */
static char *narrow(int columns, void (*print)(FILE *file, const void *data),
		    const void *data)
{
	char *text = NULL, number[16];
	size_t size;
	FILE *file = open_memstream(&text, &size);

	snprintf(number, sizeof(number), "%d", columns);
	setenv("COLUMNS", number, 1);
	print(file, data);
	unsetenv("COLUMNS");
	fclose(file);
	return text;
}

static const struct {
	const char *name, *text, *lines;
	int columns, indent;
} broken[] = {
	{ "fits", "one two\n", "one two\n", 7, 2 },
	{ "one more", "one two three\n", "one two\n  three\n", 7, 2 },
	{ "an address is whole", "to 172.30.12.110:443 now\n",
	  "to\n  172.30.12.110:443\n  now\n", 12, 2 },
	{ "blanks inside stay, at the end go", "a    b \n", "a    b\n", 6, 2 },
	{ "its own lines", "a b\nc d\n\n", "a\n b\nc\n d\n\n", 2, 1 },
	{ "colours take no room", "\033[31mab\033[0m cd\n",
	  "\033[31mab\033[0m cd\n", 5, 0 },
	{ "UTF-8 is as wide as it looks", "\xc3\xa9\xc3\xa9 b\n",
	  "\xc3\xa9\xc3\xa9 b\n", 4, 0 },
	{ "never more margin than half", "aaa bbb\n", "aaa\n  bbb\n", 4, 30 },
	{ "as wide as anybody likes", "one two three\n", "one two three\n", 0,
	  2 },
};

static size_t breaking;

static void print_words(FILE *file, const void *data)
{
	words_print(file, broken[breaking].indent, "%s", (const char *)data);
}

static void words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(broken); i++) {
		char *text;

		breaking = i;
		text = narrow(broken[i].columns, print_words, broken[i].text);
		row_text(broken[i].name, text, broken[i].lines);
		free(text);
	}
}

static void print_long_one(FILE *file, const void *data)
{
	static const char *const headers[] = { "PREFIX", "ACTION", ">N", "FROM",
					       NULL };
	struct table *t = table_new(headers);

	(void)data;
	table_cell(t, "10.0.0.0/8");
	table_cell(t, "keep");
	table_cell(t, "%d", 7);
	table_cell(t, "built-in");
	table_row_end(t);
	table_cell(t, "2001:db8:1234:5678::/64");
	table_cell(t, "masquerade");
	table_cell(t, "%d", 12345);
	table_cell(t, "a file and a line that is long, in words");
	table_row_end(t);
	table_print(t, file);
}

/* One long cell moves no other row's columns. */
static void narrow_table(void **state)
{
	char *text = narrow(40, print_long_one, NULL);

	(void)state;
	row_text("one long cell", text,
		 "PREFIX      ACTION          N  FROM\n"
		 "10.0.0.0/8  keep            7  built-in\n"
		 "2001:db8:1234:5678::/64\n"
		 "            masquerade  12345\n"
		 "    a file and a line that is long, in\n"
		 "    words\n");
	free(text);
}

static const struct {
	uint64_t n;
	const char *count, *bytes;
} sizes[] = {
	{ 0, "0", "0 B" },
	{ 999, "999", "999 B" },
	{ 1000, "1.0K", "1000 B" },
	{ 1024, "1.0K", "1.0 KiB" },
	{ 1500, "1.5K", "1.5 KiB" },
	{ 99949, "99.9K", "97.6 KiB" },
	{ 99950, "100K", "97.6 KiB" },
	{ 999499, "999K", "976 KiB" },
	{ 999500, "1.0M", "976 KiB" },
	{ 1048575, "1.0M", "1.0 MiB" },
	{ 1280, "1.3K", "1.3 KiB" },
	{ 10485759, "10.5M", "10.0 MiB" },
	{ UINT64_MAX, "18.4E", "16.0 EiB" },
};

static const struct {
	uint64_t seconds;
	const char *text;
} ages[] = {
	{ 0, "0s" },	    { 59, "59s" },	{ 60, "1m00s" },
	{ 3599, "59m59s" }, { 3600, "1h00m" },	{ 86399, "23h59m" },
	{ 86400, "1d00h" }, { 90000, "1d01h" }, { 90061, "1d01h" },
	{ 7384, "2h03m" },
};

static void numbers(void **state)
{
	char text[32];

	(void)state;
	for (size_t i = 0; i < ROWS(sizes); i++) {
		row_text(sizes[i].count,
			 human_count(sizes[i].n, text, sizeof(text)),
			 sizes[i].count);
		row_text(sizes[i].bytes,
			 human_bytes(sizes[i].n, text, sizeof(text)),
			 sizes[i].bytes);
	}
	for (size_t i = 0; i < ROWS(ages); i++)
		row_text(ages[i].text,
			 human_age(ages[i].seconds, text, sizeof(text)),
			 ages[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_strings), cmocka_unit_test(json_values),
		cmocka_unit_test(json_lines),	cmocka_unit_test(table),
		cmocka_unit_test(words),	cmocka_unit_test(narrow_table),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
