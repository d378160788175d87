/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verdict.h - is it well, and if not, what is to be done? One list for status,
 * /readyz, the page, doctor, metrics and top. What is here needs the maps
 * alone; health.h adds what only a look at the node tells.
 */
#ifndef MASQ_REPORT_VERDICT_H
#define MASQ_REPORT_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/instance.h"
#include "plane/tally.h"
#include "policy/policy.h"
#include "policy/ward.h"

enum verdict_level {
	VERDICT_OK,
	VERDICT_DEGRADED,
	VERDICT_BAD, /* pods' connections fail, or nothing is translated */
};

struct verdict_item {
	const char *what; /* one word */
	enum verdict_level level;
	char *text;
	char *todo; /* NULL: nothing */
};

struct verdict_broken {
	struct cidr net; /* that is broken */
	struct cidr prefix; /* that decides about it */
};

struct verdict {
	struct verdict_item *items; /* in the order of finding */
	size_t count;
	enum verdict_level level; /* the worst */

	struct flow_tally flows; /* of verdict_traffic */

	bool guarded; /* a change is being watched, or was */
	uint32_t guard_generation;
	double guard_until; /* seconds since 1970 */
	struct verdict_broken *broken;
	size_t broken_count;

	/* what runs beside the file, what of the file does not run */
	struct policy_entry *added, *missing;
	size_t added_count, missing_count;
};

const char *verdict_level_name(enum verdict_level level);
int verdict_add(struct verdict *v, const char *what, enum verdict_level level,
		const char *todo, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void verdict_free(struct verdict *v);
/* The first of the worst ones; NULL: all is well. */
const struct verdict_item *verdict_worst(const struct verdict *v);

/* All return 0 or -errno. */

/* One walk over the flows: kept and unanswered, room in the table. */
int verdict_traffic(struct verdict *v, struct instance *instance);
/* What a look has found; ward NULL: nothing is watched. */
int verdict_guard(struct verdict *v, const struct ward *ward);
/* The same by a look of our own. */
int verdict_guard_look(struct verdict *v, struct instance *instance);
/* What of the packets were dropped between the two. */
int verdict_drops(struct verdict *v, const uint64_t before[MASQ_S_MAX],
		  const uint64_t now[MASQ_S_MAX]);
/* All that needs no look at the node, with a look of its own for the guard. */
int verdict_maps(struct verdict *v, struct instance *instance,
		 struct policy *policy);
/* Is an agent at work? */
int verdict_agent(struct verdict *v, const struct instance *instance);
/* Is it a preset that stands in for a file, and would a reboot know it? */
int verdict_policy(struct verdict *v, const struct instance *instance,
		   const struct policy *policy);
/* Does what runs differ from its file, where that is as it was taken? */
int verdict_drift(struct verdict *v, struct instance *instance,
		  struct policy *policy);

#endif
