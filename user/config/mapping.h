/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mapping.h - how a mapping is read, whatever its keys: their case, duplicates,
 * merge keys, names that nobody knows.
 */
#ifndef MASQ_CONFIG_MAPPING_H
#define MASQ_CONFIG_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/loader.h"

#define MAX_KEYS 16 /* of one mapping */

/* A key with its value, as they stand in the text. */
struct pair {
	const struct node *name, *value;
};

struct key {
	const char *name; /* "timeouts.udp": "udp" within timeouts */
	/* puts the value into *field; 0 or -errno, said */
	int (*read)(struct loader *l, const struct key *key,
		    const struct pair *pair, void *field);
	size_t offset; /* of the field */
	uint64_t min, max;
	enum config_list list;
	const struct key *keys; /* of a nested mapping */
	bool takes_null; /* else null leaves the default, with a warning */
};

/*
 * The values that stand in `node` into the fields of `base`. `what`: its name
 * in messages. 0 or -errno, said.
 */
int config_read_mapping(struct loader *l, const struct key *keys,
			const char *what, const struct node *node, void *base);

#endif
