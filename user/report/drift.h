/* SPDX-License-Identifier: GPL-2.0-only */
/* drift.h - is the file that the policy came from as it was? */
#ifndef MASQ_CONFIG_LOOK_H
#define MASQ_CONFIG_LOOK_H

#include <stddef.h>
#include "plane/instance.h"
#include "policy/policy.h"

enum config_look {
	CONFIG_SAME, /* or there is no file, or nobody knows */
	CONFIG_CHANGED, /* and nobody has taken it */
	CONFIG_BROKEN,
	CONFIG_GONE,
};

/* With a line for people where it is not as it was. */
enum config_look config_look(const struct instance *instance,
			     const struct policy *policy, char *why,
			     size_t length);

/*
 * What runs and its file, as it was taken, does not say (*added), what it says
 * and does not run (*missing); arrays to be freed. Both empty as well where
 * there is no such file. 0 or -ENOMEM.
 */
int drift_find(struct instance *instance, struct policy *policy,
	       struct policy_entry **added, size_t *added_count,
	       struct policy_entry **missing, size_t *missing_count);

#endif
