// SPDX-License-Identifier: GPL-2.0-only
/*
 * config_manifest.c - a config inside the manifest of a Kubernetes ConfigMap,
 * as it lies in a repository or comes out of kubectl. Messages still name the
 * lines of the file.
 */
#include <errno.h>
#include <string.h>
#include "config_load.h"

static const struct node *find(const struct node *map, const char *name)
{
	if (!map || map->type != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i += 2)
		if (!strcmp(map->items[i]->text, name))
			return map->items[i + 1];
	return NULL;
}

bool config_is_manifest(const struct node *root)
{
	/* no config has these keys */
	return find(root, "apiVersion") && find(root, "kind");
}

int config_find_in_manifest(struct loader *l, const struct node *root,
			    const struct node **value)
{
	/* ip-masq-agent and Cilium, AKS, the file's own name */
	static const char *const names[] = { "config", "ip-masq-agent",
					     "masqbpf.yaml" };
	const struct node *kind = find(root, "kind");
	const struct node *data = find(root, "data");
	const struct node *found = NULL;

	*value = NULL;
	if (!kind || kind->type != NODE_SCALAR ||
	    strcmp(kind->text, "ConfigMap"))
		return 0;
	if (!data || data->type != NODE_MAP || !data->count)
		return config_fail(l, root->place, "a ConfigMap without data");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !found; i++)
		found = find(data, names[i]);
	if (!found && data->count == 2)
		found = data->items[1];
	if (!found)
		return config_fail(l, data->place,
				   "a ConfigMap with several data keys, none of"
				   " them config, ip-masq-agent or"
				   " masqbpf.yaml");
	if (found->type != NODE_SCALAR)
		return config_fail(l, found->place,
				   "the config in a ConfigMap is text: write |"
				   " behind the key");
	*value = found;
	return 0;
}

/* The first line that is not blank, and how far it is indented. */
static const char *first_line(const char *p, const char *end, uint32_t *indent)
{
	*indent = 0;
	for (; p < end && strchr(" \t\r\n", *p); p++)
		*indent = *p == '\n' ? 0 : *indent + 1;
	return p;
}

void config_enter_manifest(struct loader *l, const char *text, size_t length,
			   const struct node *value)
{
	const char *end = text + length, *p = text;
	uint32_t outer, inner;

	l->origin = (struct origin){ .fixed = value->place };
	/* only "|" takes lines as they stand, from the next one on */
	if (!value->literal)
		return;
	for (uint32_t line = value->place.line; line && p < end; line--) {
		p = memchr(p, '\n', end - p);
		p = p ? p + 1 : end;
	}
	first_line(p, end, &outer);
	first_line(value->text, value->text + strlen(value->text), &inner);
	l->origin = (struct origin){
		.lines = value->place.line,
		.columns = outer > inner ? outer - inner : 0,
	};
}
