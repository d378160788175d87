/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * metrics.h - what Prometheus sees: taken from the maps, then written as
 * text. The only writer of these names. No label is unbounded: pods, ports
 * and destination addresses never are one.
 */
#ifndef MASQ_METRICS_H
#define MASQ_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/cidr.h"
#include "masqbpf.h"
#include "plane/fastpath.h"
#include "plane/tally.h"
#include "plane/instance.h"
#include "policy/policy.h"
#include "report/verdict.h"

/* Prefixes with labels of their own; the rest is summed up as `other`. */
#define METRICS_MAX_PREFIXES 1000
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* An interface that is meant to be attached. */
struct metrics_uplink {
	char name[32]; /* "if7": the device is gone */
	const char *hook; /* "tcx", "tc"; "none" */
	bool attached;
};

/* What the maps do not tell; who calls knows it. */
struct metrics_state {
	bool reload_ok; /* the last attempt to read the config */
	double reload_time; /* of the last success, seconds since 1970 */
	bool stale; /* a policy is in force that its file does not say */
	uint32_t
		due; /* bits by enum masq_due_kind: what an agent tries again */
	const struct verdict *verdict; /* NULL: not known */
	struct verdict own; /* metrics_look's */
	int foreign_nat; /* other translators found; -1: not known */
	const struct metrics_uplink *uplinks;
	size_t uplink_count;
	const struct fastpath_sum *fast; /* NULL: not known */
	struct fastpath_sum own_fast; /* metrics_look's */
};

struct metrics_prefix {
	struct cidr cidr; /* family 0: the sum of the rest */
	uint8_t list; /* enum masq_list */
	uint8_t action; /* enum masq_action */
	bool in_policy; /* it is in force */
	struct masq_prefix_count count;
	uint64_t unreplied; /* live flows without an answer */
};

struct metrics {
	struct metrics_prefix *prefixes;
	size_t prefix_count;
	uint64_t stats[MASQ_S_MAX];
	uint64_t skips[MASQ_SKIP_MAX]; /* packets on the fast path */
	struct flow_tally flows;
	uint32_t flows_limit, budget_limit[FLOW_BUDGETS];
	double port_utilization;
	uint32_t generation; /* 0: no policy */
};

/* 0 or -errno, printed; metrics_free in either case. */
int metrics_read(struct instance *instance, struct metrics *out);
void metrics_free(struct metrics *metrics);
void metrics_write(FILE *file, const struct metrics *metrics,
		   const struct metrics_state *state);

/* The label of a prefix; returns buf. */
#define METRICS_LABEL_LEN (CIDR_STRLEN + 8)

/*
 * What a process without memory of its own (`masqbpf metrics`) can tell: by
 * looking at the hooks and at the file that the policy came from. Needs
 * privileges. 0 or -errno, printed; metrics_forget in either case.
 */
int metrics_look(struct instance *instance, struct metrics_state *state);
void metrics_forget(struct metrics_state *state);

#endif
