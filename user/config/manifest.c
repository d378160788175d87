// SPDX-License-Identifier: GPL-2.0-only
/*
 * manifest.c - a config inside the manifest of a Kubernetes ConfigMap,
 * as it lies in a repository or comes out of kubectl. Messages still name the
 * lines of the file.
 */
#include <string.h>
#include "config/manifest.h"

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

static void search_object(struct manifest_search *s, unsigned int document,
			  const struct node *root)
{
	/* ip-masq-agent and Cilium, AKS, the file's own name */
	static const char *const names[] = { "config", "ip-masq-agent",
					     "masqbpf.yaml" };
	const struct node *kind = find(root, "kind");
	const struct node *data = find(root, "data"), *value = NULL;
	enum manifest_find found = FOUND_CONFIG;

	if (!kind || kind->type != NODE_SCALAR ||
	    strcmp(kind->text, "ConfigMap"))
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !value; i++)
		value = find(data, names[i]);
	if (!data || data->type != NODE_MAP || !data->count) {
		found = FOUND_NO_DATA;
	} else if (!value) {
		found = data->count == 2 ? FOUND_A_KEY : FOUND_KEYS;
		value = data->items[1];
	}
	if (found == s->best && found >= FOUND_A_KEY && !s->another.line)
		s->another = value->place;
	if (found <= s->best)
		return;
	*s = (struct manifest_search){
		.best = found,
		.document = document,
		.place = found == FOUND_NO_DATA ? root->place
			 : found == FOUND_KEYS	? data->place
						: value->place,
		.value = value,
	};
}

void config_search_manifest(struct manifest_search *s, unsigned int document,
			    const struct node *root)
{
	const struct node *items = find(root, "items");

	search_object(s, document, root);
	for (size_t i = 0;
	     items && items->type == NODE_LIST && i < items->count; i++)
		search_object(s, document, items->items[i]);
}

int config_manifest_found(struct loader *l, const struct manifest_search *s)
{
	if (s->another.line)
		return config_fail(
			l, s->another,
			"a second ConfigMap with a config, the first is in line %u: leave the one that is meant in the file",
			s->place.line);
	switch (s->best) {
	case FOUND_NOTHING:
		return config_fail(l, (struct place){ 1, 1 },
				   "a Kubernetes manifest without a"
				   " ConfigMap");
	case FOUND_NO_DATA:
		return config_fail(l, s->place, "a ConfigMap without data");
	case FOUND_KEYS:
		return config_fail(l, s->place,
				   "a ConfigMap with several data keys, none of"
				   " them config, ip-masq-agent or"
				   " masqbpf.yaml");
	default:
		if (s->value->type == NODE_SCALAR)
			return 0;
		return config_fail(l, s->place,
				   "the config in a ConfigMap is text: write |"
				   " behind the key");
	}
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
