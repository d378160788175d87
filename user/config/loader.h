/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loader.h - what exists while a text is being turned into settings, for all
 * that read a part of it.
 */
#ifndef MASQ_CONFIG_LOADER_H
#define MASQ_CONFIG_LOADER_H

#include "base/cidr.h"
#include "config/doc.h"
#include "config/settings.h"

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
	uint32_t choice; /* LIST_SNAT: its number in config->snat */
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

#define GIVEN_MAX 48

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
	const struct key *const *groups; /* mapping.h; ended by NULL */
	size_t values_read; /* of known keys */
	/* where the settings are given: by their offset in struct config */
	struct {
		size_t offset;
		struct place place;
	} given[GIVEN_MAX];
	size_t given_count;
	/* what is wrong: the first ones of the file, in no order */
	struct warning *errors;
	size_t error_count, errors_left_out;
	char *err;
	size_t errlen;
};

/*
 * Notes what is wrong; -EINVAL, or -ENOMEM. place: in the text; the message says
 * where that is in the file.
 */
int config_fail(struct loader *l, struct place place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* 0 or -ENOMEM */
int config_warn(struct loader *l, struct place place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int config_nomem(struct loader *l);
/*
 * After a part was read with this result: *ret is that of the whole, and true:
 * what comes next is read too, for its errors.
 */
bool config_go_on(int *ret, int part);
/* Writes what was noted to l->err. */
void config_export_errors(struct loader *l);
/* Hands the warnings over to l->config, in the order of the file. */
int config_export_warnings(struct loader *l);
struct place config_place(const struct loader *l, struct place place);
/* A setting has its value there. */
void config_given(struct loader *l, size_t offset, struct place place);
/* And where the later of two has it; the first line: neither is given. */
struct place config_later(const struct loader *l, size_t a, size_t b);
#define CONFIG_PLACE(l, a, b) \
	config_later(l, offsetof(struct config, a), offsetof(struct config, b))

/* Text in quotes, printable and not too long; returns buf. */
#define QUOTED_LEN 72
const char *quoted(const char *text, char buf[static QUOTED_LEN]);

int config_add_entry(struct loader *l, const struct entry *entry);
/* Adds `more` to the pool, for an item of the key `name`. 0 or -errno, said. */
int config_join(struct loader *l, struct place place, const char *name,
		struct pool *pool, const struct pool *more);
const char *config_list_name(enum config_list list);

#endif
