// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapping.c - the pairs of a mapping, sorted by its keys; the name that was
 * meant by one that nobody knows.
 */
#include <ctype.h>
#include <string.h>
#include "config/mapping.h"

#define NAME_MAX_LEN 40 /* a longer key resembles none of ours */

static const char *leaf(const struct key *key)
{
	const char *dot = strrchr(key->name, '.');

	return dot ? dot + 1 : key->name;
}

static int find_key(const struct key *keys, const char *name)
{
	for (int i = 0; keys[i].name; i++)
		if (!strcasecmp(leaf(&keys[i]), name))
			return i;
	return -1;
}

/* Insertions, deletions, replacements and swaps of neighbours. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][NAME_MAX_LEN + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= strlen(a); i++) {
		unsigned int *now = row[i % 3], *last = row[(i - 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= n; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);
			unsigned int best = last[j - 1] + !same;

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    row[(i - 2) % 3][j - 2] + 1 < best)
				best = row[(i - 2) % 3][j - 2] + 1;
			now[j] = best;
		}
	}
	return row[strlen(a) % 3][n];
}

/* The known name that was meant: of this mapping, or in its right place. */
static const char *nearest(const struct key *const *groups,
			   const struct key *keys, const char *name)
{
	const char *best = NULL;
	unsigned int least = UINT32_MAX;

	if (!*name || strlen(name) > NAME_MAX_LEN)
		return NULL;
	for (size_t i = 0; groups && groups[i]; i++) {
		int found = find_key(groups[i], name);

		if (found >= 0)
			return groups[i][found].name;
	}
	for (int i = 0; keys[i].name; i++) {
		size_t length = strlen(leaf(&keys[i]));
		unsigned int d = distance(name, leaf(&keys[i]));

		if (length < strlen(name))
			length = strlen(name);
		/* further away it is another word */
		if (d < least && d <= length / 3) {
			least = d;
			best = leaf(&keys[i]);
		}
	}
	return best;
}

static int unknown_key(struct loader *l, const struct key *keys,
		       const struct node *name)
{
	const char *meant = nearest(l->groups, keys, name->text);
	bool strict = l->options && l->options->strict;
	char text[QUOTED_LEN];

	quoted(name->text, text);
	if (strict)
		return config_fail(l, name->place, "unknown key %s%s%s%s", text,
				   meant ? ": did you mean " : "", meant ?: "",
				   meant ? "?" : "");
	return config_warn(l, name->place, "unknown key %s is ignored%s%s%s",
			   text, meant ? ": did you mean " : "", meant ?: "",
			   meant ? "?" : "");
}

static int collect(struct loader *l, const struct key *keys,
		   const struct node *node, struct pair *pairs, bool merged);

/* "<<": a mapping or a list of them, whose pairs stand in for missing ones. */
static int merge(struct loader *l, const struct key *keys,
		 const struct node *node, struct pair *pairs)
{
	int ret = 0;

	if (node->type == NODE_MAP)
		return collect(l, keys, node, pairs, true);
	for (size_t i = 0; i < node->count && !ret; i++) {
		if (node->items[i]->type != NODE_MAP)
			break;
		ret = collect(l, keys, node->items[i], pairs, true);
		if (ret || i + 1 == node->count)
			return ret;
	}
	return config_fail(l, node->place, "<<: only mappings can be merged");
}

/* Sorts the pairs of a mapping by key; of equal keys the last one wins. */
static int collect(struct loader *l, const struct key *keys,
		   const struct node *node, struct pair *pairs, bool merged)
{
	int ret = 0;

	for (size_t i = 0; i < node->count && !ret; i += 2) {
		const struct node *name = node->items[i];
		struct pair *pair;
		int found;

		if (name->plain && !strcmp(name->text, "<<"))
			continue;
		found = find_key(keys, name->text);
		if (found < 0) {
			if (!merged)
				ret = unknown_key(l, keys, name);
			continue;
		}
		pair = &pairs[found];
		if (merged && pair->name)
			continue;
		if (pair->name)
			ret = config_warn(
				l, name->place,
				"%s is given again: the one in line"
				" %u is ignored",
				keys[found].name,
				config_place(l, pair->name->place).line);
		*pair = (struct pair){ name, node->items[i + 1] };
	}
	for (size_t i = 0; i < node->count && !ret; i += 2)
		if (node->items[i]->plain &&
		    !strcmp(node->items[i]->text, "<<"))
			ret = merge(l, keys, node->items[i + 1], pairs);
	return ret;
}

int config_read_mapping(struct loader *l, const struct key *keys,
			const char *what, const struct node *node, void *base)
{
	struct pair pairs[MAX_KEYS] = { 0 };
	char text[QUOTED_LEN];
	int ret;

	if (node->type == NODE_SCALAR)
		return config_fail(l, node->place,
				   "%s: %s where lines of KEY: VALUE are"
				   " expected",
				   what, quoted(node->text, text));
	if (node->type == NODE_LIST)
		return config_fail(l, node->place,
				   "%s: a list where lines of KEY: VALUE are"
				   " expected",
				   what);
	ret = collect(l, keys, node, pairs, false);
	for (int i = 0; keys[i].name && !ret; i++) {
		if (!pairs[i].name)
			continue;
		if (node_is_null(pairs[i].value) && !keys[i].takes_null)
			ret = config_warn(l, pairs[i].name->place,
					  "%s has no value: the default stays",
					  keys[i].name);
		else
			ret = keys[i].read(l, &keys[i], &pairs[i],
					   (char *)base + keys[i].offset);
		/* of a group what is in it counts */
		l->values_read +=
			!ret && !keys[i].keys &&
			(keys[i].takes_null || !node_is_null(pairs[i].value));
	}
	return ret;
}
