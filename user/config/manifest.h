/* SPDX-License-Identifier: GPL-2.0-only */
/* manifest.h - a config within the manifest of a ConfigMap. */
#ifndef MASQ_CONFIG_MANIFEST_H
#define MASQ_CONFIG_MANIFEST_H

#include "config/loader.h"

/* The better, the later. */
enum manifest_find {
	FOUND_NOTHING,
	FOUND_NO_DATA, /* a ConfigMap, and nothing in it */
	FOUND_KEYS, /* several, and none that is a config's */
	FOUND_A_KEY, /* the only one, so it may be a config */
	FOUND_CONFIG, /* by the name of its key */
};

/* The best ConfigMap among the objects of a manifest file, so far. */
struct manifest_search {
	enum manifest_find best;
	unsigned int document; /* it is in, from 0 on */
	struct place place;
	const struct node *value; /* alive as long as that document */
	struct place another; /* that is as good; line 0: none */
};

/* Is this the manifest of a Kubernetes object? */
bool config_is_manifest(const struct node *root);
/* Looks at the objects of one document, a List's items too. */
void config_search_manifest(struct manifest_search *s, unsigned int document,
			    const struct node *root);
/* The error, if what was found is no config; else 0. */
int config_manifest_found(struct loader *l, const struct manifest_search *s);
/* Sets l->origin for the text of that scalar. */
void config_enter_manifest(struct loader *l, const char *text, size_t length,
			   const struct node *value);

#endif
