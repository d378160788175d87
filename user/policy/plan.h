/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan.h - what replacing one policy by another really changes: which
 * prefixes, which addresses are treated differently afterwards, and which
 * live flows and pods go there. compare.h makes it, live.h adds the flows,
 * judge.h the warnings. Pure: no kernel calls.
 */
#ifndef MASQ_PLAN_H
#define MASQ_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "policy/policy.h"
#include "policy/treat.h"

struct plan_hit {
	uint32_t flip;
	struct addr pod;
};

/* A range whose treatment flips. */
struct plan_flip {
	struct cidr range;
	struct plan_treatment from, to;
	uint64_t live_flows; /* whose next connection is treated otherwise */
	const struct plan_hit *pods; /* that have these flows, ascending */
	size_t pod_count;
};

struct plan_flips {
	struct plan_flip *items; /* disjoint, ascending, as few as can be */
	size_t count;
};

/* One (list, prefix) that only one policy has, or with another treatment. */
struct plan_change {
	const struct policy_entry *from, *to; /* NULL: not in that policy */
	struct plan_treatment was, becomes; /* where from, to are not NULL */
};

/* What the policies say about a pod's address, so far as it decides. */
struct plan_source {
	struct addr pod;
	struct plan_treatment from, to;
};
#define PLAN_ASKED_BITS 8

/* A key of the config that is no list of prefixes. */
struct plan_setting {
	const char *name;
	char from[32], to[32];
};
#define PLAN_MAX_SETTINGS 16

struct plan {
	struct policy *from, *to;
	struct plan_change *changes; /* by list, then prefix */
	size_t change_count;
	struct plan_flips dests, sources;
	struct plan_setting settings[PLAN_MAX_SETTINGS];
	size_t setting_count;
	bool live_said; /* flows are told of elsewhere: no warnings of them */
	char **warnings;
	size_t warning_count;

	struct plan_source asked[1 << PLAN_ASKED_BITS]; /* by hash */
	struct plan_hit *hits; /* of dests, then those of sources */
	size_t hit_count;
};

/* A setting beside the prefixes; nothing where both are the same. `name` stays
 * the caller's. */
void plan_set(struct plan *plan, const char *name, const char *from,
	      const char *to);
void plan_free(struct plan *plan);
int plan_warn(struct plan *plan, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

bool plan_is_empty(const struct plan *plan);
#endif
