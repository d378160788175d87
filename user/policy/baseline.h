/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * baseline.h - who was answered, noted now and then: after a reboot no flow is
 * left that a change could be judged by. It lies among the history's notes, and
 * goes where they go.
 */
#ifndef MASQ_POLICY_BASELINE_H
#define MASQ_POLICY_BASELINE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/cidr.h"
#include "plane/instance.h"

/* After it was put back it is all that is known of before, for so long. */
#define BASELINE_MS 600000

/* Flows to one service that had answers. Its port is the host's. */
struct baseline_item {
	struct addr dest, pod; /* one of the pods */
	uint16_t port;
	uint8_t proto;
	uint8_t kind; /* enum masq_kind */
	uint32_t flows;
	uint32_t old; /* of before a reboot */
};

#define BASELINE_ITEMS	  2048
#define BASELINE_OF_A_NET 8 /* a /24 or /64 */

/*
 * From the flows there are now; what was put back stays beside them for
 * BASELINE_MS. 0 or -errno.
 */
int baseline_take(struct instance *instance);
/* It comes from another boot; now_ms: of ward_now_ms. */
int baseline_put_back(struct instance *instance, uint64_t now_ms);
/*
 * What was put back, while nothing newer is known. *items malloc'ed; -ENOENT:
 * there is nothing.
 */
int baseline_before(const struct instance *instance,
		    struct baseline_item **items, uint32_t *count);

#endif
