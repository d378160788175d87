/* SPDX-License-Identifier: GPL-2.0-only */
/* json.h - JSON as it is written: streaming, two-space indent, no tree. */
#ifndef MASQ_BASE_JSON_H
#define MASQ_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

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
/* A number in the words of JSON, as somebody else has written it. */
void json_number(struct json *j, const char *key, const char *text);
void json_double(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

#endif
