// SPDX-License-Identifier: GPL-2.0-only
/*
 * doc_json.c - JSON as a tree with places. jansson decides what is JSON and
 * decodes the strings, but it forgets where a value stood and the first of
 * two equal keys, so the structure is walked here a second time, over a text
 * that is known to be good. (Handing JSON to libyaml instead does not work:
 * it refuses surrogate pairs, DEL and a line break before a colon.)
 */
#include <errno.h>
#include <string.h>
#include <jansson.h>
#include "config/doc.h"

struct reader {
	const char *p, *end;
	struct place place; /* of *p */
	struct doc *doc;
	struct doc_error *error;
};

static void step(struct reader *r)
{
	if (*r->p == '\n') {
		r->place.line++;
		r->place.column = 1;
	} else if ((*r->p & 0xc0) != 0x80) {
		/* counted at its first byte, so *p is one further on */
		r->place.column++;
	}
	r->p++;
}

/* What follows once blanks, and the commas and colons, are skipped. */
static char peek(struct reader *r)
{
	while (r->p < r->end && strchr(" \t\r\n,:", *r->p))
		step(r);
	return r->p < r->end ? *r->p : '\0';
}

static int read_scalar(struct reader *r, struct node *node)
{
	const char *start = r->p;
	json_t *value;

	if (*start != '"') {
		while (r->p < r->end && !strchr(" \t\r\n,:]}", *r->p))
			step(r);
		node->plain = true;
		node->text = doc_text(r->doc, start, r->p - start);
		return node->text ? 0 : -ENOMEM;
	}
	do {
		if (*r->p == '\\')
			step(r);
		step(r);
	} while (r->p < r->end && *r->p != '"');
	if (r->p < r->end)
		step(r);
	value = json_loadb(start, r->p - start, JSON_DECODE_ANY, NULL);
	if (value && json_is_string(value))
		node->text = doc_text(r->doc, json_string_value(value),
				      json_string_length(value));
	json_decref(value);
	return node->text ? 0 : -ENOMEM;
}

static int read_value(struct reader *r, int depth, struct node **out)
{
	char first = peek(r);
	struct node *node, *item;
	int ret;

	node = doc_node(r->doc,
			first == '{'   ? NODE_MAP
			: first == '[' ? NODE_LIST
				       : NODE_SCALAR,
			r->place);
	if (!node)
		return -ENOMEM;
	*out = node;
	if (node->type == NODE_SCALAR)
		return read_scalar(r, node);
	if (depth == DOC_MAX_DEPTH)
		return doc_fail(r->error, r->place,
				"nested more than %d levels deep",
				DOC_MAX_DEPTH);
	step(r);
	while (peek(r) && *r->p != ']' && *r->p != '}') {
		ret = read_value(r, depth + 1, &item);
		if (!ret)
			ret = node_append(node, item);
		if (ret)
			return ret;
	}
	if (r->p < r->end)
		step(r);
	return 0;
}

/* jansson names the end of the token that it could not take: go back. */
static struct place error_place(const json_error_t *error)
{
	struct place place = { error->line > 0 ? error->line : 1, 1 };
	const char *near = strstr(error->text, " near '");
	int column = error->column;

	if (near) {
		near += strlen(" near '");
		for (; *near && strcmp(near, "'"); near++)
			column -= (*near & 0xc0) != 0x80;
		column++;
	}
	if (column > 0)
		place.column = column;
	return place;
}

/* How many values there can be at most, before jansson makes a tree of them. */
static size_t count_values(const char *text, size_t length)
{
	size_t count = 1;

	for (size_t i = 0; i < length; i++)
		count += text[i] == ',' || text[i] == ':' || text[i] == '[';
	return count;
}

int doc_read_json(const char *text, size_t length, struct doc *doc,
		  struct doc_error *error)
{
	struct reader r = { text, text + length, { 1, 1 }, doc, error };
	json_error_t json_error;
	json_t *json;
	int ret;

	*doc = (struct doc){ 0 };
	if (count_values(text, length) > DOC_MAX_NODES)
		return doc_fail(error, r.place, "more than %d values",
				DOC_MAX_NODES);
	json = json_loadb(text, length, 0, &json_error);
	if (!json) {
		if (json_error_code(&json_error) == json_error_out_of_memory)
			return -ENOMEM;
		return doc_fail(error, error_place(&json_error),
				"not valid JSON: %s", json_error.text);
	}
	json_decref(json);

	ret = read_value(&r, 0, &doc->root);
	if (ret)
		doc_free(doc);
	return ret;
}
