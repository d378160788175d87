// SPDX-License-Identifier: GPL-2.0-only
/*
 * doc_yaml.c - YAML as a tree with places, from libyaml's events. Anchors and
 * aliases are resolved; tags are refused but for the ones that say nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "config/doc.h"

struct anchor {
	const char *name; /* owned by the node */
	struct node *node;
};

struct reader {
	const char *text;
	size_t length;
	yaml_parser_t parser;
	struct doc *doc;
	struct doc_error *error;
	struct node *open[DOC_MAX_DEPTH];
	int depth;
	struct anchor anchors[DOC_MAX_ANCHORS];
	int anchor_count, alias_count;
};

static struct place place_of(const yaml_mark_t *mark)
{
	return (struct place){ mark->line + 1, mark->column + 1 };
}

/* The text at a place; the end of the text when there is no such place. */
static const char *text_at(const struct reader *r, struct place place)
{
	const char *p = r->text, *end = r->text + r->length;

	while (--place.line && p < end) {
		const char *line = memchr(p, '\n', end - p);

		p = line ? line + 1 : end;
	}
	while (--place.column && p < end)
		do
			p++;
		while (p < end && (*p & 0xc0) == 0x80);
	return p;
}

static struct place place_at(const struct reader *r, size_t offset)
{
	struct place place = { 1, 1 };

	for (size_t i = 0; i < offset && i < r->length; i++) {
		if (r->text[i] == '\n') {
			place.line++;
			place.column = 1;
		} else if ((r->text[i] & 0xc0) != 0x80) {
			place.column++;
		}
	}
	return place;
}

/* What libyaml says, with the hint that its words leave out. */
static int parser_fail(struct reader *r)
{
	const yaml_parser_t *parser = &r->parser;
	const char *problem = parser->problem ?: "unknown error", *hint = "";
	struct place place = place_of(&parser->problem_mark);
	char begin[48] = "";
	const char *at;

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		return doc_fail(r->error, place_at(r, parser->problem_offset),
				"not valid YAML: %s", problem);

	at = text_at(r, place);
	if (at < r->text + r->length && *at == '\t')
		hint = " (a tab: indent with spaces)";
	else if (strstr(problem, "cannot start any token") ||
		 strstr(problem, "expected node content"))
		hint = " (put quotes around text that begins with a special"
		       " character)";
	else if (strstr(problem, "mapping values are not allowed"))
		hint = " (wrong indentation, or text with a colon and a"
		       " blank that needs quotes)";
	if (parser->context && parser->context_mark.line < place.line - 1)
		snprintf(begin, sizeof(begin), " that begins in line %zu",
			 parser->context_mark.line + 1);
	return doc_fail(r->error, place, "not valid YAML: %s%s%s%s%s", problem,
			parser->context ? ", " : "", parser->context ?: "",
			begin, hint);
}

/* Hangs a node into the innermost open one, or makes it the root. */
static int attach(struct reader *r, struct node *node)
{
	struct node *parent = r->depth ? r->open[r->depth - 1] : NULL;

	if (!parent) {
		r->doc->root = node;
		return 0;
	}
	if (parent->type == NODE_MAP && !(parent->count & 1) &&
	    node->type != NODE_SCALAR)
		return doc_fail(r->error, node->place,
				"a key must be a word, not a list or mapping");
	return node_append(parent, node);
}

static int name_anchor(struct reader *r, struct node *node,
		       const yaml_char_t *anchor)
{
	const char *name = (const char *)anchor;

	if (name)
		node->anchor = doc_text(r->doc, name, strlen(name));
	return !name || node->anchor ? 0 : -ENOMEM;
}

static int set_anchor(struct reader *r, struct node *node)
{
	if (!node->anchor)
		return 0;
	if (r->anchor_count == DOC_MAX_ANCHORS)
		return doc_fail(r->error, node->place, "more than %d anchors",
				DOC_MAX_ANCHORS);
	r->anchors[r->anchor_count++] = (struct anchor){ node->anchor, node };
	return 0;
}

static int read_alias(struct reader *r, const char *name, struct place place)
{
	struct node *node = NULL;

	/* an anchor may be given again: the last one before counts */
	for (int i = r->anchor_count; i-- && !node;)
		if (!strcmp(r->anchors[i].name, name))
			node = r->anchors[i].node;
	if (!node)
		return doc_fail(r->error, place,
				"alias *%.64s: no such anchor before it", name);
	if (node->aliases)
		return doc_fail(r->error, place,
				"alias *%.64s: what it stands for contains an"
				" alias itself, which is not allowed here",
				name);
	if (++r->alias_count > DOC_MAX_ALIASES)
		return doc_fail(r->error, place, "more than %d aliases",
				DOC_MAX_ALIASES);
	for (int i = 0; i < r->depth; i++)
		r->open[i]->aliases = true;
	return attach(r, node);
}

/* !!str, !!seq and !!map say what is so anyway; others would change it. */
static int check_tag(struct reader *r, struct node *node, const char *tag)
{
	static const char *const harmless[] = {
		[NODE_SCALAR] = YAML_STR_TAG,
		[NODE_LIST] = YAML_SEQ_TAG,
		[NODE_MAP] = YAML_MAP_TAG,
	};

	if (!tag)
		return 0;
	if (strcmp(tag, "!") && strcmp(tag, harmless[node->type]))
		return doc_fail(r->error, node->place,
				"the tag %.64s is not supported", tag);
	if (node->type == NODE_SCALAR)
		node->plain = false;
	return 0;
}

static int new_node(struct reader *r, enum node_type type,
		    const yaml_event_t *event, struct node **out)
{
	struct place place = place_of(&event->start_mark);

	if (r->doc->count >= DOC_MAX_NODES)
		return doc_fail(r->error, place, "more than %d values",
				DOC_MAX_NODES);
	*out = doc_node(r->doc, type, place);
	return *out ? 0 : -ENOMEM;
}

static int read_scalar(struct reader *r, const yaml_event_t *event)
{
	struct node *node = NULL;
	const char *text = (const char *)event->data.scalar.value;
	int ret = new_node(r, NODE_SCALAR, event, &node);

	if (ret)
		return ret;
	if (strlen(text) != event->data.scalar.length)
		return doc_fail(r->error, node->place, "contains a NUL");
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->literal = event->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
	ret = check_tag(r, node, (const char *)event->data.scalar.tag);
	if (ret)
		return ret;
	node->text = doc_text(r->doc, text, event->data.scalar.length);
	if (!node->text)
		return -ENOMEM;
	ret = name_anchor(r, node, event->data.scalar.anchor);
	if (ret)
		return ret;
	return attach(r, node) ?: set_anchor(r, node);
}

static int open_node(struct reader *r, enum node_type type,
		     const yaml_event_t *event, const yaml_char_t *anchor,
		     const yaml_char_t *tag)
{
	struct node *node = NULL;
	int ret = new_node(r, type, event, &node);

	if (ret)
		return ret;
	if (r->depth == DOC_MAX_DEPTH)
		return doc_fail(r->error, node->place,
				"nested more than %d levels deep",
				DOC_MAX_DEPTH);
	ret = check_tag(r, node, (const char *)tag) ?: attach(r, node);
	if (ret)
		return ret;
	ret = name_anchor(r, node, anchor);
	if (ret)
		return ret;
	r->open[r->depth++] = node;
	return 0;
}

static int read_event(struct reader *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(r, event);
	case YAML_ALIAS_EVENT:
		return read_alias(r, (const char *)event->data.alias.anchor,
				  place_of(&event->start_mark));
	case YAML_SEQUENCE_START_EVENT:
		return open_node(r, NODE_LIST, event,
				 event->data.sequence_start.anchor,
				 event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return open_node(r, NODE_MAP, event,
				 event->data.mapping_start.anchor,
				 event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return set_anchor(r, r->open[--r->depth]);
	default:
		return 0;
	}
}

/*
 * Runs to the end of document `index` and to the event after it. Deeper
 * documents than that are not even looked at, as ip-masq-agent does not.
 */
static int read_events(struct reader *r, unsigned int index)
{
	unsigned int ended = 0;

	for (;;) {
		enum yaml_event_type_e type;
		yaml_event_t event;
		struct place place;
		int ret = 0;

		if (!yaml_parser_parse(&r->parser, &event))
			return parser_fail(r);
		type = event.type;
		place = place_of(&event.start_mark);
		if (ended == index)
			ret = read_event(r, &event);
		yaml_event_delete(&event);
		if (ret)
			return ret;
		if (type == YAML_DOCUMENT_START_EVENT && ended > index) {
			r->doc->more = place;
			return 0;
		}
		if (type == YAML_STREAM_END_EVENT)
			return ended > index || !index ? 0 : -ENOENT;
		ended += type == YAML_DOCUMENT_END_EVENT;
	}
}

int doc_read_yaml(const char *text, size_t length, unsigned int index,
		  struct doc *doc, struct doc_error *error)
{
	struct reader r = {
		.text = text, .length = length, .doc = doc, .error = error
	};
	int ret;

	*doc = (struct doc){ 0 };
	if (!yaml_parser_initialize(&r.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text,
				     length);
	ret = read_events(&r, index);
	yaml_parser_delete(&r.parser);
	if (ret)
		doc_free(doc);
	return ret;
}
