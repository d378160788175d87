/* SPDX-License-Identifier: GPL-2.0-only */
/* health.h - what is attached, to what, and is it well? */
#ifndef MASQ_REPORT_HEALTH_H
#define MASQ_REPORT_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <net/if.h>
#include "base/cidr.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/tally.h"
#include "policy/policy.h"
#include "report/share.h"
#include "report/verdict.h"

enum health_level {
	HEALTH_OK,
	HEALTH_DEGRADED,
	HEALTH_FAILED
};

struct health_uplink {
	uint32_t ifindex;
	char name[IFNAMSIZ]; /* the last one, when the device is gone */
	bool gone;
	enum hook_kind kind; /* HOOK_AUTO: neither hook is there */
	bool whole;
	struct addr addrs[2]; /* what is translated to; family 0: none */
	struct hook_chain chains[HOOK_DIRS];
};

struct health {
	struct instance *instance;
	struct policy *policy; /* NULL: none */
	uint32_t generation; /* 0: no policy */
	bool ipv6;
	char config[300]; /* "": none */
	struct health_uplink *uplinks;
	size_t uplink_count;
	struct fastpath_view fast; /* of every link: `why` also without it */
	struct fast_share fast_share;
	struct flow_tally flows;
	char holder[64]; /* of the lock: somebody changes something; or "" */
	enum health_level level;
	struct verdict verdict;
	const char *what; /* is being looked at */
	uint64_t stats[MASQ_S_MAX]; /* when it began */
	char **problems; /* what of the verdict is not ok, with what to do */
	size_t problem_count;
};

const char *health_level_name(enum health_level level);
/*
 * Of h->instance; h->holder as far as the caller wants it looked at, the rest
 * zero. 0 or -errno, printed. health_free in either case.
 */
int health_read(struct health *h);
/* All but the instance. */
void health_free(struct health *h);

#endif
