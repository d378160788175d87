// SPDX-License-Identifier: GPL-2.0-only
/* doc.c - the nodes of a document, and what their text can stand for. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/doc.h"

/* Nodes and their texts, one after the other: nothing is freed singly. */
struct block {
	struct block *next;
	size_t used;
	char bytes[];
};

#define BLOCK_SIZE (64 * 1024 - sizeof(struct block))

static void *doc_alloc(struct doc *doc, size_t size)
{
	struct block *block = doc->blocks;
	size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

	size = (size + _Alignof(struct node) - 1) &
	       ~(_Alignof(struct node) - 1);
	if (!block || BLOCK_SIZE < block->used + size) {
		block = malloc(sizeof(*block) + room + _Alignof(struct node));
		if (!block)
			return NULL;
		block->used = 0;
		block->next = doc->blocks;
		doc->blocks = block;
	}
	block->used += size;
	return block->bytes + block->used - size;
}

char *doc_text(struct doc *doc, const char *text, size_t length)
{
	char *copy = doc_alloc(doc, length + 1);

	if (copy) {
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

struct node *doc_node(struct doc *doc, enum node_type type, struct place place)
{
	struct node *node = doc_alloc(doc, sizeof(*node));

	if (!node)
		return NULL;
	*node = (struct node){ .type = type, .place = place };
	if (type != NODE_SCALAR) {
		node->next = doc->nodes;
		doc->nodes = node;
	}
	doc->count++;
	return node;
}

int node_append(struct node *node, struct node *item)
{
	if (node->count == node->room) {
		size_t room = node->room ? 2 * node->room : 8;
		struct node **items =
			reallocarray(node->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		node->items = items;
		node->room = room;
	}
	node->items[node->count++] = item;
	return 0;
}

void doc_free(struct doc *doc)
{
	for (struct node *node = doc->nodes; node; node = node->next)
		free(node->items);
	while (doc->blocks) {
		struct block *next = doc->blocks->next;

		free(doc->blocks);
		doc->blocks = next;
	}
	*doc = (struct doc){ 0 };
}

int doc_fail(struct doc_error *error, struct place place, const char *fmt, ...)
{
	va_list ap;

	error->place = place;
	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

bool node_is_null(const struct node *node)
{
	static const char *const words[] = { "",     "~",    "null",
					     "Null", "NULL", NULL };

	return node->type == NODE_SCALAR && node->plain &&
	       strchr("~nN", *node->text) && one_of(node->text, words);
}

/* The booleans of YAML 1.1. */
int node_bool(const struct node *node, bool *out)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes",
					   "Yes",  "YES",  "on",   "On",
					   "ON",   "y",	   "Y",	   NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no",
					  "No",	   "NO",    "off",   "Off",
					  "OFF",   "n",	    "N",     NULL };

	if (!one_of(node->text, yes) && !one_of(node->text, no))
		return -EINVAL;
	*out = one_of(node->text, yes);
	return 0;
}

/* The whole numbers of YAML 1.1: sign, 0x, 0b, 0 or 0o for octal, 1_000. */
int node_integer(const struct node *node, bool *negative, uint64_t *out)
{
	const char *text = node->text;
	char digits[40], *end;
	size_t count = 0;
	int base = 10;

	*negative = *text == '-';
	if (*text == '-' || *text == '+')
		text++;
	if (text[0] == '0' && text[1]) {
		char sort = tolower((unsigned char)text[1]);

		base = sort == 'x' ? 16 : sort == 'b' ? 2 : 8;
		text += sort == 'x' || sort == 'b' || sort == 'o' ? 2 : 1;
	}
	for (; *text && count < sizeof(digits) - 1; text++)
		if (isxdigit((unsigned char)*text))
			digits[count++] = *text;
		else if (*text != '_')
			return -EINVAL;
	digits[count] = '\0';
	errno = 0;
	*out = strtoull(digits, &end, base);
	if (!count || *end)
		return -EINVAL;
	if (errno || *text)
		*out = UINT64_MAX;
	return 0;
}
