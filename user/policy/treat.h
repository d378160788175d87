/* SPDX-License-Identifier: GPL-2.0-only */
/* treat.h - what a policy makes of a connection, or of one of its ends. */
#ifndef MASQ_POLICY_TREAT_H
#define MASQ_POLICY_TREAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
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
	/* masquerade: the policy's own; NULL: the node's address */
	const struct pool *snat;
};

const char *plan_action_name(uint8_t action);
/* "keep", "masquerade", "masquerade as 10.0.0.7"; returns buf. */
const char *plan_treatment_text(const struct plan_treatment *treatment,
				char *buf, size_t len);

/* What a new connection from src (family 0: any pod) to dst is given. */
struct plan_treatment plan_treat(struct policy *policy, const struct addr *src,
				 const struct addr *dst);

bool treatment_same(const struct plan_treatment *a,
		    const struct plan_treatment *b);

/* What the entries that cover an address come to. */
struct state {
	const struct policy_entry *dest; /* the longest; NULL: none */
	bool pod, keep; /* covered by an entry of the source lists */
};
void state_add(struct state *state, const struct policy_entry *entry);

/* Of a destination that this entry (NULL: none) decides about. */
struct plan_treatment treat_dest(const struct policy *policy,
				 const struct policy_entry *dest,
				 uint8_t family);
/* Of a source; pods_named: policy_names_pods() of its family. */
struct plan_treatment treat_state(const struct policy *policy,
				  const struct state *state, bool pods_named);
struct plan_treatment treat_source(struct policy *policy,
				   const struct addr *src);
/* What both ends say together. */
struct plan_treatment treat_both(const struct policy *policy,
				 const struct plan_treatment *source,
				 const struct plan_treatment *dest,
				 uint8_t family);
bool policy_names_pods(const struct policy *policy, uint8_t family);

#endif
