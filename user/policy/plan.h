/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan.h - what replacing one policy by another really changes: which
 * prefixes, which addresses are treated differently afterwards, and which
 * live flows and pods go there. Pure: no kernel calls.
 */
#ifndef MASQ_PLAN_H
#define MASQ_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plane/flows.h"
#include "policy/policy.h"

/* What becomes of a new connection, as far as one of its ends decides it. */
enum plan_action {
	PLAN_MASQUERADE,
	PLAN_KEEP, /* IPv6 that is not translated, too: the address stays */
	/* of sources only */
	PLAN_POLICY, /* the destination decides */
	PLAN_UNTOUCHED, /* outside podCIDRs */
	PLAN_DROPPED, /* outside podCIDRs, and dropForeignSources is on */
};

struct plan_treatment {
	uint8_t action; /* enum plan_action */
	struct addr snat; /* masquerade; family 0: the node's own address */
};

/* One (list, prefix) that only one policy has, or with another treatment. */
struct plan_change {
	const struct policy_entry *from, *to; /* NULL: not in that policy */
	struct plan_treatment was, becomes; /* where from, to are not NULL */
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

struct plan_hit {
	uint32_t flip;
	struct addr pod;
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
	char **warnings;
	size_t warning_count;

	struct plan_source asked[1 << PLAN_ASKED_BITS]; /* by hash */
	struct plan_hit *hits; /* of dests, then those of sources */
	size_t hit_count;
};

/*
 * Both policies stay the caller's and have to outlive the plan. instance:
 * for its clock. 0 or -ENOMEM.
 */
int plan_make(const struct instance *instance, struct policy *from,
	      struct policy *to, struct plan **out);
void plan_free(struct plan *plan);
/* A live flow; all of them come before plan_judge. 0 or -ENOMEM. */
int plan_add_flow(struct plan *plan, const struct flow *flow);
/* Sums up the flows, finds what a person should be warned of. 0, -ENOMEM. */
int plan_judge(struct plan *plan);
int plan_warn(struct plan *plan, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

bool plan_is_empty(const struct plan *plan);
const char *plan_action_name(uint8_t action);
/* "keep", "masquerade", "masquerade as 10.0.0.7"; returns buf. */
const char *plan_treatment_text(const struct plan_treatment *treatment,
				char *buf, size_t len);

/* What a new connection from src (family 0: any pod) to dst is given. */
struct plan_treatment plan_treat(struct policy *policy, const struct addr *src,
				 const struct addr *dst);

#endif
