// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_doc.c - the short cut through long lists (doc_runs.h): whatever the
 * text around them is, the tree, or what is said of an error, is what the
 * YAML parser alone would have made of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "doc.h"
#include "doc_runs.h"

static void check_same_node(const struct node *a, const struct node *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->plain, b->plain);
	assert_int_equal(a->literal, b->literal);
	assert_int_equal(a->aliases, b->aliases);
	assert_int_equal(a->place.line, b->place.line);
	assert_int_equal(a->place.column, b->place.column);
	assert_int_equal(!a->text, !b->text);
	if (a->text)
		assert_string_equal(a->text, b->text);
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
		check_same_node(a->items[i], b->items[i]);
}

/* Returns how many values took the short cut. */
static size_t check_document(const char *text, unsigned int index)
{
	struct doc_error error = {}, whole_error = {};
	struct doc doc, whole;
	size_t short_cut = 0;
	int ret = doc_read_yaml(text, strlen(text), index, &doc, &error);
	int whole_ret = doc_read_yaml_whole(text, strlen(text), index, &whole,
					    &whole_error);

	assert_int_equal(ret, whole_ret);
	if (ret) {
		assert_string_equal(error.text, whole_error.text);
		assert_int_equal(error.place.line, whole_error.place.line);
		assert_int_equal(error.place.column, whole_error.place.column);
		return 0;
	}
	assert_int_equal(!doc.root, !whole.root);
	if (doc.root)
		check_same_node(doc.root, whole.root);
	assert_int_equal(doc.count, whole.count);
	assert_int_equal(doc.more.line, whole.more.line);
	assert_int_equal(doc.more.column, whole.more.column);
	assert_int_equal(whole.short_cut, 0);
	short_cut = doc.short_cut;
	doc_free(&doc);
	doc_free(&whole);
	return short_cut;
}

/* %N in a row: a run of N lines; the indent is that of the %. */
static char *expand(const char *row)
{
	char *text;
	size_t length;
	FILE *f = open_memstream(&text, &length);
	int indent = 0;

	for (const char *p = row; *p; p++) {
		indent = *p == ' ' ? indent + 1 : *p == '\n' ? 0 : indent;
		if (*p != '%') {
			fputc(*p, f);
			continue;
		}
		for (long i = strtol(p + 1, (char **)&p, 10), k = 0; k < i; k++)
			fprintf(f,
				k % 3 ? "%*s- 10.%ld.0.0/16\n"
				      : "%*s- fd00:%lx::/32\n",
				k ? indent : 0, "", k);
		p--;
		indent = 0;
	}
	fclose(f);
	return text;
}

static void every_surrounding(void **state)
{
	static const struct {
		const char *row;
		size_t short_cut; /* for the first document */
	} rows[] = {
		{ "%100", 98 },
		{ "%63", 0 },
		{ "%64", 62 },
		{ "a: 1\nb:\n%100c: 2\n", 98 },
		{ "a: 1\nb:\n  %100c: 2\n", 98 },
		{ "# B\xc3\xbcro\nb:\n   %70c:\n %80- 1\n", 0 },
		{ "# B\xc3\xbcro\nb:\n   %70c:\n %80d: [1, 2]\n", 146 },
		{ "b:\n  - 10.0.0.0/8 # ours\n  %100  - x\nc: 3\n", 98 },
		{ "b: &list\n  %100c: *list\nd: *list\n", 98 },
		{ "b:\n  - &one 10.0.0.0/8\n  %100  - *one\n", 98 },
		{ "- a\n- b:\n  %100- c\n", 98 },
		{ "-\n  %100- c\n", 98 },
		{ "%100---\na: 1\n", 98 },
		/* the second document is not looked at */
		{ "%100---\n%90", 0 },
		{ "a: 1\n---\n%90", 0 },
		/* not items at all, or not only */
		{ "a: |\n  %100b: 1\n", 0 },
		{ "a: >\n  %100b: 1\n", 0 },
		{ "a: \"\n  %100  \"\nb: 1\n", 0 },
		{ "a: '\n  %100  '\nb: 1\n", 0 },
		{ "a: word\n  %100b: 1\n", 0 },
		{ "b:\n  %100     goes on\nc: 1\n", 0 },
		{ "b:\n  %100    %100c: 1\n", 0 },
		{ "b:\n    %100  %100c: 1\n", 0 },
		{ "b:\n  %100    c: 1\n", 0 },
		{ "- - 1\n  %100- 2\n", 98 },
		{ "- |\n  %100- 2\n", 0 },
		/* errors, before, behind and because of it */
		{ "a: [\n  %100]\n", 0 },
		{ "a: {\n  %100}\n", 0 },
		{ "a: 1\n%100", 0 },
		{ "b:\n  %100c: [1\nd: 2\n", 0 },
		{ "b:\n  %100  c: 1\n", 0 },
		{ "b:\n  %100\tc: 1\n", 0 },
		{ "b: *none\nc:\n%100", 0 },
		{ "b:\n%100c: *none\n", 0 },
		{ "b:\n%100c: !!int 5\n", 0 },
		{ "? %100: 1\n", 0 },
		{ "b: !!set\n  %100", 0 },
		/* lines that end in another way */
		{ "# \xc2\x85\nb:\n  %100", 0 },
		{ "# \xe2\x80\xa8\nb:\n  %100", 0 },
		{ "# \xe2\x80\xa9\nb:\n  %100", 0 },
		{ "# \xe2\x82\xac \xc2\xa7\nb:\n  %100", 98 },
		{ "# \r\nb:\n  %100", 0 },
		/* no more than 16 of them */
		{ "- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65"
		  "- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65"
		  "- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65- a\n%65",
		  16 * 63 },
		{ "%3000a: 1\n", 0 },
		{ "%524287", 524285 },
		{ "%524288", 0 },
		{ "a:\n%262000b:\n%262000c:\n%2000", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *text = expand(rows[i].row);
		size_t short_cut = check_document(text, 0);

		check_document(text, 1);

		if (short_cut != rows[i].short_cut)
			fail_msg("%s: %zu took the short cut, not %zu",
				 rows[i].row, short_cut, rows[i].short_cut);
		free(text);
	}
}

/* Pieces in any order: mostly nonsense, some of it YAML. */
static void random_surroundings(void **state)
{
	static const char *const pieces[] = {
		"%64",
		"  %65",
		"    %66",
		"a:\n",
		"b:\n",
		"  c:\n",
		"- d\n",
		"  - e\n",
		"    - f\n",
		"- - g\n",
		"  h: 1\n",
		"|\n",
		"i: |\n",
		"j: >-\n",
		"k: \"\n",
		"  \"\n",
		"l: [\n",
		"]\n",
		"---\n",
		"...\n",
		"# comment\n",
		"  # more\n",
		"\n",
		"  \n",
		"m: &x\n",
		"n: *x\n",
		"- *x\n",
		"-\n",
		"  -\n",
		"? o\n",
		": p\n",
		"- 1.2.3.4/5\n",
		"  \t\n",
		"q: '\n",
		"  '\n",
		"- !!str r\n",
		"-  1.1.1.1/1\n",
		" - s: t\n",
		"   u: v\n",
		"%100",
	};
	size_t met = 0, valid = 0;
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 6000; i++) {
		char row[256] = "", *text;
		int count = 2 + rand_r(&seed) % 5;

		while (count--)
			strcat(row, pieces[rand_r(&seed) %
					   (sizeof(pieces) / sizeof(*pieces))]);
		text = expand(row);
		for (unsigned int index = 0; index < 2; index++) {
			struct doc_error error;
			struct doc doc;

			met += !!check_document(text, index);
			if (!doc_read_yaml_whole(text, strlen(text), index,
						 &doc, &error)) {
				valid += doc.count >= RUN_MIN;
				doc_free(&doc);
			}
		}
		free(text);
	}
	/* it met both: where it may and where it may not be taken */
	assert_true(met > 150);
	assert_true(valid > met + 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_surrounding),
		cmocka_unit_test(random_surroundings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
