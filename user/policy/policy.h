/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy.h - a policy as data: from a config, sorted, searched, named. read.h
 * has the one that runs, apply.h makes another one run.
 */
#ifndef MASQ_POLICY_H
#define MASQ_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
#include "base/pool.h"
#include "config/config.h"
#include "plane/instance.h"

#define NO_SLOT UINT32_MAX

/* One entry of a policy, with where it comes from. */
struct policy_entry {
	struct cidr cidr;
	uint8_t list; /* enum masq_list */
	uint8_t action; /* enum masq_action */
	uint8_t origin; /* enum masq_origin */
	uint32_t line; /* config line */
	uint32_t since; /* generation that brought it; 0: new */
	uint16_t snat; /* index + 1 into policy.snat; 0: node address */
	uint32_t slot; /* in masq_prefixes, or NO_SLOT: none yet */
};

/* A policy as data: sorted by (list, cidr), one entry per (list, cidr). */
struct policy {
	struct policy_entry *entries;
	size_t count;
	struct pool *snat; /* choices of source addresses */
	size_t snat_count;
	struct masq_policy head; /* generation, flags, timeouts ... */
	struct masq_source source;
};

/* What a change did, for the one line that every apply prints. */
struct policy_change {
	uint32_t generation;
	size_t added, removed, changed;
};

/*
 * The instance gets the sizes that the config asks for, under traffic: see
 * plane/fit.h. 0 or -errno, printed.
 */
int policy_fit(struct instance *instance, const struct config *config);

/*
 * Config -> policy; includes the built-in entries. fast_tcp: what
 * fastpath_tcp_allowed() says of the node that it is for. Caller frees.
 */
int policy_from_config(const struct instance *instance,
		       const struct config *config, bool fast_tcp,
		       struct policy **out);
void policy_free(struct policy *policy);

struct policy_entry *policy_find(struct policy *policy, uint8_t list,
				 const struct cidr *cidr);
/* The order of entries: by list, then prefix. */
int policy_compare_place(const struct policy_entry *a,
			 const struct policy_entry *b);
/* The destination entry that decides about an address or a whole prefix. */
struct policy_entry *policy_match(struct policy *policy,
				  const struct cidr *cidr);
/* Are there podCIDRs of the address's family, and do they leave it out? */
bool policy_leaves_out(const struct policy *policy, const struct addr *pod);
/*
 * Building: append in any order, then sort; of several entries for one
 * (list, cidr) the one that is nearest to the user stays: runtime, config
 * (the first line), preset, built-in.
 */
int policy_append(struct policy *policy, const struct policy_entry *entry);
void policy_sort(struct policy *policy);
void policy_del(struct policy *policy, struct policy_entry *entry);
/* The entries for 0.0.0.0/0 and ::/0 that are there when nobody names them. */
int policy_append_defaults(struct policy *policy);

/* Number + 1 of a pool in policy->snat, which has room for it. */
uint16_t policy_snat_number(struct policy *policy, const struct pool *pool);

/* The one line (or, to stdout, JSON object) that every apply prints. */
void policy_report(const struct policy_change *change, bool json);

/* "preset NAME", "config FILE:LINE", "runtime", "built-in"; returns buf. */
const char *policy_origin(const struct policy *policy,
			  const struct policy_entry *entry, char *buf,
			  size_t len);
/* Why an entry decides nothing, for behind its origin; "": it does. */
const char *policy_off_note(const struct policy *policy,
			    const struct policy_entry *entry);

/* Says "policy: what: why"; returns err. */
int policy_fail(int err, const char *what);

#endif
