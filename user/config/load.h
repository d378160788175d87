/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * load.h - shared by the files of this folder: what exists while a text
 * is being turned into a struct config.
 */
#ifndef MASQ_CONFIG_LOAD_H
#define MASQ_CONFIG_LOAD_H

#include "config/config.h"
#include "config/doc.h"

/* The lists of prefixes; LIST_SNAT stands for snat.addresses. */
enum config_list {
	LIST_KEEP,
	LIST_MASQUERADE,
	LIST_PODS,
	LIST_KEEP_SOURCES,
	LIST_SNAT,
};

/* A prefix of any list, for the checks across lists. */
struct entry {
	struct cidr cidr;
	enum config_list list;
	struct place place; /* line 0: from a preset */
	struct addr addr; /* LIST_SNAT */
};

struct warning {
	struct place place;
	size_t seq;
	char *text; /* complete */
};

/*
 * Where the text that is being read lies in the file: elsewhere when it is
 * the value of a ConfigMap. `fixed`: its lines are not lines of the file, so
 * that every place is this one.
 */
struct origin {
	uint32_t lines, columns;
	struct place fixed;
};

struct loader {
	const char *name; /* of the file, in messages */
	const struct config_options *options;
	struct config *config;
	struct origin origin;
	struct entry *entries;
	size_t entry_count, entry_room;
	struct warning *warnings;
	size_t warning_count, warning_room, warnings_left_out;
	bool ipv6_given; /* enableIPv6 was */
	size_t values_read; /* of known keys */
	struct place cidr_limit_place;
	char *err;
	size_t errlen;
};

/* place: in the text; the message says where that is in the file. */
int config_fail(struct loader *l, struct place place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* 0 or -ENOMEM */
int config_warn(struct loader *l, struct place place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int config_nomem(struct loader *l);
struct place config_place(const struct loader *l, struct place place);

/* Text in quotes, printable and not too long; returns buf. */
#define QUOTED_LEN 72
const char *quoted(const char *text, char buf[static QUOTED_LEN]);

int config_add_entry(struct loader *l, const struct entry *entry);

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

/* keys.c: the mapping at the top with every key; any mapping. */
int config_read_keys(struct loader *l, const struct node *root);
int config_read_mapping(struct loader *l, const struct key *keys,
			const char *what, const struct node *node, void *base);

/* values.c: key->read for each kind of value, and what it fills. */
#define READER(name)                                      \
	int name(struct loader *l, const struct key *key, \
		 const struct pair *pair, void *field)
READER(read_bool); /* bool */
READER(read_enable_ipv6);
READER(read_number); /* uint32_t, min to max */
READER(read_cidr_limit);
READER(read_duration); /* uint64_t, ns, max */
READER(read_ports); /* uint16_t [2], warns below min */
READER(read_node_ports);
READER(read_cidrs); /* struct config_cidrs, key->list */
READER(read_snat_addresses);
const char *config_list_name(enum config_list list);

/* check.c: what only the whole can tell. */
int config_check(struct loader *l);

/* manifest.c: the better, the later. */
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
