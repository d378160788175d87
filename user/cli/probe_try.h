/* SPDX-License-Identifier: GPL-2.0-only */
/* probe_try.h - what is asked, and of whom, for cmd_probe.c. */
#ifndef MASQ_CLI_PROBE_TRY_H
#define MASQ_CLI_PROBE_TRY_H

#include <stdbool.h>
#include "plane/ctl.h"
#include "plane/trial.h"
#include "policy/policy.h"
#include "report/reach.h"

struct probe {
	struct instance *instance;
	struct policy *policy;
	struct addr dest, pod; /* pod.family 0: none is known */
	uint32_t device; /* that it is behind */
	uint8_t proto; /* as in struct trial */
	uint16_t port;
	uint8_t payload[TRIAL_PAYLOAD_MAX];
	size_t payload_length;
	unsigned int timeout_ms;
	struct masq_ctl now; /* what the policy in force says of it */
	const struct policy_entry *entry;
	bool attached;
	struct trial trials[2]; /* as the node, as the pod */
	enum reach reach;
};

/* A pod of this node that can be asked as: the one that is named, or some. Both:
 * enum cmd_exit, what has failed is said. */
int probe_find_pod(struct probe *probe);
/* As the node, and as the pod if there is one. */
int probe_try(struct probe *probe);

#endif
