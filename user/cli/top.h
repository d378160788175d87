/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * top.h - rates: what prefixes, pods and flows carry and what is dropped, by
 * the difference of two looks at the counters.
 */
#ifndef MASQ_TOP_H
#define MASQ_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/flows.h"
#include "plane/tally.h"
#include "plane/instance.h"
#include "report/verdict.h"

enum top_section {
	TOP_PREFIXES,
	TOP_PODS,
	TOP_FLOWS,
	TOP_DROPS,
	TOP_SECTIONS
};

enum top_key {
	TOP_BY_RATE, /* bytes a second, both ways; drops: packets */
	TOP_BY_PACKETS,
	TOP_BY_FLOWS, /* live ones; flows: the oldest */
	TOP_BY_UNREPLIED,
	TOP_BY_NAME,
	TOP_KEYS
};
const char *top_key_name(enum top_key key);
int top_key_parse(const char *text, enum top_key *out);

/* A second. */
struct top_rate {
	double out_bytes, in_bytes, packets;
	double flows; /* new ones */
};

struct top_row {
	union {
		uint32_t slot; /* prefix */
		uint32_t reason; /* drop */
		struct addr pod;
		struct flow flow;
	};
	struct top_rate rate;
	uint64_t live, unreplied;
	uint64_t total; /* drops: since the instance was made */
};

struct top_list {
	struct top_row *rows; /* sorted */
	size_t count;
};

/*
 * Which rows are looked for: by an address or a prefix, else by a part of what is
 * shown (a pod's name, say). "": all of them.
 */
struct top_filter {
	char text[64];
	bool is_range;
	struct cidr range;
};

struct top {
	struct instance *instance;
	enum top_key key;
	bool reverse;
	struct top_filter filter;
	uint64_t matched; /* flows by it */
	struct top_list lists[TOP_SECTIONS];
	uint32_t generation;
	bool flow_counts; /* per-flow counts are switched on */
	struct top_rate sum;
	double drops; /* a second */
	struct flow_tally flows;
	uint64_t unreplied;
	double seconds; /* between the two looks; 0: the first one */
	double cost; /* seconds that looking took */
	struct verdict verdict; /* as status has it, of what the maps tell */
	double verdict_time; /* when it was made; 0: never */
	struct top_past *past;
};

int top_open(struct top *top, struct instance *instance);
void top_close(struct top *top);
/* A look; rates are those since the one before. 0 or -errno. */
int top_look(struct top *top);
/* From the next look on; cut where it has no room. */
void top_filter_set(struct top *top, const char *text);
/* Drops are the node's, and always are. */
bool top_is_wanted(const struct top *top, enum top_section section,
		   const struct top_row *row);
/* Takes the rows out of a list that are not looked for. */
void top_filter_list(struct top *top, enum top_section section);
void top_sort(struct top *top);
/* The number that rows are sorted by; the order of two, as qsort has it. */
double top_weight(const struct top *top, enum top_section section,
		  const struct top_row *row);
int top_compare(const struct top *top, enum top_section section,
		const struct top_row *a, const struct top_row *b);
/* What a row is called; returns buf. */
const char *top_name(const struct top *top, enum top_section section,
		     const struct top_row *row, char *buf, size_t len);
/* The same for people: a pod with its name. */
const char *top_label(const struct top *top, enum top_section section,
		      const struct top_row *row, char *buf, size_t len);

#endif
