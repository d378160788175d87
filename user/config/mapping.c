// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapping.c - the pairs of a mapping, sorted by its keys; the name that was
 * meant by one that nobody knows.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include "base/meant.h"
#include "config/mapping.h"

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

/* The known name that was meant: of this mapping, or in its right place. */
static const char *nearest(const struct key *const *groups,
			   const struct key *keys, const char *name)
{
	const char *best = NULL;
	unsigned int least = UINT_MAX;

	for (size_t i = 0; groups && groups[i]; i++) {
		int found = find_key(groups[i], name);

		if (found >= 0)
			return groups[i][found].name;
	}
	for (int i = 0; keys[i].name; i++)
		if (meant_nearer(name, leaf(&keys[i]), &least))
			best = leaf(&keys[i]);
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
	for (size_t i = 0; i < node->count; i++) {
		if (node->items[i]->type != NODE_MAP)
			break;
		if (!config_go_on(&ret, collect(l, keys, node->items[i], pairs,
						true)) ||
		    i + 1 == node->count)
			return ret;
	}
	return config_fail(l, node->place, "<<: only mappings can be merged");
}

/* Sorts the pairs of a mapping by key; of equal keys the last one wins. */
static int collect(struct loader *l, const struct key *keys,
		   const struct node *node, struct pair *pairs, bool merged)
{
	int ret = 0, part;

	for (size_t i = 0; i < node->count; i += 2) {
		const struct node *name = node->items[i];
		struct pair *pair;
		int found;

		if (name->plain && !strcmp(name->text, "<<"))
			continue;
		found = find_key(keys, name->text);
		if (found < 0) {
			part = merged ? 0 : unknown_key(l, keys, name);
			if (!config_go_on(&ret, part))
				return ret;
			continue;
		}
		pair = &pairs[found];
		if (merged && pair->name)
			continue;
		part = 0;
		if (pair->name)
			part = config_warn(
				l, name->place,
				"%s is given again: the one in line"
				" %u is ignored",
				keys[found].name,
				config_place(l, pair->name->place).line);
		if (!config_go_on(&ret, part))
			return ret;
		*pair = (struct pair){ name, node->items[i + 1] };
	}
	for (size_t i = 0; i < node->count; i += 2)
		if (node->items[i]->plain &&
		    !strcmp(node->items[i]->text, "<<") &&
		    !config_go_on(&ret,
				  merge(l, keys, node->items[i + 1], pairs)))
			break;
	return ret;
}

/* Is anything said there? An empty list says what its default says. */
static bool has_value(const struct node *value)
{
	return value->type == NODE_SCALAR ? !node_is_null(value)
					  : value->count > 0;
}

int config_read_mapping(struct loader *l, const struct key *keys,
			const char *what, const struct node *node, void *base)
{
	struct pair pairs[MAX_KEYS] = { 0 };
	char text[QUOTED_LEN];
	int ret, part;

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
	for (int i = 0; keys[i].name && ret != -ENOMEM; i++) {
		if (!pairs[i].name)
			continue;
		if (base == l->config && !keys[i].keys)
			config_given(l, keys[i].offset, pairs[i].value->place);
		if (node_is_null(pairs[i].value) && !keys[i].takes_null)
			part = config_warn(l, pairs[i].name->place,
					   "%s has no value: the default stays",
					   keys[i].name);
		else
			part = keys[i].read(l, &keys[i], &pairs[i],
					    (char *)base + keys[i].offset);
		config_go_on(&ret, part);
		/* of a group what is in it counts */
		l->values_read += !part && !keys[i].keys &&
				  has_value(pairs[i].value);
	}
	return ret;
}
