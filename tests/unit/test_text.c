// SPDX-License-Identifier: GPL-2.0-only
/* test_text.c - JSON text, tables, numbers for people. */
#include "rows.h"
#include <math.h>
#include <stdlib.h>
#include "base/json.h"
#include "base/table.h"
#include "base/units.h"

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
				  "longer         \n");
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
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
