/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doc_runs.h - a policy of 100,000 prefixes is 100,000 lines of one form,
 *
 *     - 198.51.100.0/24
 *
 * and a YAML parser takes half a microsecond for each. After such a line a
 * parser is in the same state as before it: where the first and the last of
 * many are plain items of one block sequence, so are those between, and they
 * need not go through it. doc_yaml.c reads the text without them, sees whether
 * that is so, and if it is not, or anything is wrong, reads the whole text.
 */
#ifndef MASQ_DOC_RUNS_H
#define MASQ_DOC_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNS_MAX 16
/* Fewer lines than this are not worth it. */
#define RUN_MIN 64

struct run {
	size_t line; /* of its first item in the shortened text, from 0 */
	size_t indent; /* of the dashes */
	const char *from; /* the lines left out, in the whole text */
	size_t left_out; /* how many */
	bool met; /* they are items: doc_yaml.c's business */
};

struct runs {
	struct run run[RUNS_MAX];
	size_t count;
};

/*
 * The text, without all but the first and the last line of each run; to be
 * freed. NULL: there is nothing to shorten (or no memory).
 */
char *runs_shorten(const char *text, size_t length, size_t *shorter,
		   struct runs *runs);

/* The text of the item in a line of a run; *line moves on to the next. */
const char *run_item(const struct run *run, const char **line, size_t *length);

#endif
