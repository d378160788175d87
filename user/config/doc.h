/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doc.h - a YAML or JSON text as a tree of nodes that know their place. What
 * the nodes mean is config.c's business.
 */
#ifndef MASQ_DOC_H
#define MASQ_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bounds that no honest file meets. Depth also keeps libyaml, which is
 * quadratic in open brackets, from being made busy for minutes.
 */
#define DOC_MAX_DEPTH	16
#define DOC_MAX_NODES	(1 << 19) /* a list of 100,000 has 100,000 */
#define DOC_MAX_ANCHORS 100
#define DOC_MAX_ALIASES 100

/* Both count from 1; columns are characters, not bytes. line 0: nowhere. */
struct place {
	uint32_t line, column;
};

enum node_type {
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP
};

struct node {
	enum node_type type;
	bool plain; /* scalar without quotes: may be a null, bool, number */
	bool literal; /* scalar in the YAML form "|": lines as they stand */
	bool aliases; /* an alias lies in it */
	struct place place;
	char *text; /* scalar */
	struct node **items; /* list: the items; map: key, value, key ... */
	size_t count, room;
	char *anchor; /* while it is being read */
	struct node *next; /* all lists and maps of the document */
};

struct block; /* of memory */

/*
 * Owns its nodes. An aliased node hangs in the tree more than once, but
 * nothing that contains an alias is aliased itself: walking the tree takes
 * at most DOC_MAX_ALIASES times the size of the text.
 */
struct doc {
	struct node *root; /* NULL: empty */
	struct node *nodes;
	struct block *blocks;
	size_t count;
	struct place more; /* where another document begins */
};

struct doc_error {
	struct place place;
	char text[256];
};

/*
 * Reads the YAML document number `index` of the text (0: the first), or a
 * text that is one JSON value. The text is UTF-8 without a byte order mark;
 * an embedded NUL is an error. 0 and *doc, to be freed by doc_free; or
 * -EINVAL or -ENOMEM and *error. -ENOENT: there is no such document.
 */
int doc_read_yaml(const char *text, size_t length, unsigned int index,
		  struct doc *doc, struct doc_error *error);
int doc_read_json(const char *text, size_t length, struct doc *doc,
		  struct doc_error *error);
void doc_free(struct doc *doc);

/*
 * What the text of a scalar stands for, by the rules of YAML 1.1; 0 or
 * -EINVAL. Quotes are the caller's matter: a quoted "5" is text. A number
 * beyond 64 bits becomes UINT64_MAX.
 */
bool node_is_null(const struct node *node); /* false with quotes */
int node_bool(const struct node *node, bool *out);
int node_integer(const struct node *node, bool *negative, uint64_t *out);

/* For the two readers. */
struct node *doc_node(struct doc *doc, enum node_type type, struct place place);
/* A copy that lives as long as the document. NULL: no memory. */
char *doc_text(struct doc *doc, const char *text, size_t length);
int node_append(struct node *node, struct node *item);
/* Fills *error, returns -EINVAL. */
int doc_fail(struct doc_error *error, struct place place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
