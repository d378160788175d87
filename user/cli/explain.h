/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explain.h - what happens to a packet to one destination, found out: by the
 * policy, by the packet path itself, by policies of before, by its flows.
 */
#ifndef MASQ_CLI_EXPLAIN_H
#define MASQ_CLI_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <net/if.h>
#include "plane/flows.h"
#include "plane/instance.h"
#include "policy/history.h"
#include "policy/policy.h"
#include "policy/treat.h"

#define EXPLAIN_GROUPS 64 /* that are told apart */
#define EXPLAIN_WAYS   16 /* of one route, that are named */

/* Unanswered flows of one pod to one port. */
struct explain_group {
	struct flow latest;
	uint64_t count;
};

struct explain {
	struct instance *instance;
	struct policy *policy;
	struct addr dest, source; /* source.family 0: any pod */
	bool left_out; /* source: all pods here are outside podCIDRs, as it is */
	struct masq_ctl answer;
	const struct policy_entry *entry; /* that decided; NULL: none */
	struct addr seen; /* what the far side sees; family 0: depends */
	const struct pool *pool; /* that each pod has one of; NULL: no such */
	char uplink[IF_NAMESIZE]; /* by which DEST is reached; "": none */
	bool attached;
	bool wraps; /* into another packet, before a hook sees it */
	char parent[IF_NAMESIZE]; /* whose hooks see it; "": its own */
	/* all interfaces that flows to DEST may leave by, where the route has
	 * several ways; ways: 0 where it has one */
	struct {
		char name[IF_NAMESIZE];
		bool attached;
	} way[EXPLAIN_WAYS];
	size_t ways;
	/* DEST is the node itself, or rules give the pod's packets to the node,
	 * or it is behind an interface where only pods are: no policy is asked,
	 * for nothing leaves */
	enum {
		EXPLAIN_LEAVES,
		EXPLAIN_NODE,
		EXPLAIN_TAKEN,
		EXPLAIN_POD
	} stays;
	int no_route; /* errno of the pod's way to DEST; 0: there is one */
	char device[IF_NAMESIZE]; /* that the pod is behind; "": not known */

	/* the last policy that treated it otherwise; NULL: none is kept */
	struct policy *before;
	struct plan_treatment was;
	struct history_note change; /* that ended it */

	/* flows to DEST */
	uint64_t masqueraded, kept, inbound, unreplied, kept_unreplied;
	struct explain_group
		groups[EXPLAIN_GROUPS]; /* unreplied, the latest ones first */
	size_t group_count;
	bool narrowed; /* to a pod, a port or a protocol */
	uint16_t only_proto; /* number + 1; 0: any */
};

/* Each: 0 or -errno, printed. */
int explain_find_uplink(struct explain *e);
int explain_ask(struct explain *e);
/* Does it leave the node at all? Once the program was asked. */
int explain_find_stays(struct explain *e);
int explain_count_flows(struct explain *e);
/* Into `before`, `was`, `change`; not where the treatment is fixed. */
void explain_find_before(struct explain *e);

bool explain_is_translated(const struct explain *e);
/* Is this treatment the same under every policy? */
bool explain_is_fixed(uint32_t reason);
/* The entry of `before` for DEST; NULL: none, or a source list decided. */
const struct policy_entry *explain_entry_before(const struct explain *e);

#endif
