/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trial.h - one attempt each from given addresses, past the policy in force:
 * who is answered? Frames go out below every hook, answers are read where they
 * arrive and go no further. No flow, no counter, no socket of a pod is touched.
 */
#ifndef MASQ_PLANE_TRIAL_H
#define MASQ_PLANE_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/way.h"
#include "plane/maps.h"
#include "plane/trial_packet.h"

struct trial {
	/* what is asked */
	struct addr source, dest;
	uint8_t proto; /* IPPROTO_TCP, _UDP or _ICMP, of either family */
	uint16_t port; /* host order; ICMP: 0 */
	bool as_pod; /* source is a pod's; else the node's own */
	/* whose way it goes: as forwarded from this pod behind that device;
	 * device 0: as the node's own packets. Of as_pod it is that pod's. */
	struct addr pod;
	uint32_t device;
	const void *payload; /* UDP */
	size_t payload_length;

	/* what came of it */
	struct trial_reply reply;
	int err; /* TRIAL_NO_WAY, TRIAL_NOT_TRIED: -errno */
	double rtt_ms;
	struct way way;

	/* while it runs */
	struct trial_ends ends;
	int socket; /* that has the node's port; -1: none */
	bool claimed; /* there is a record that reserves it */
	bool waiting, sent;
	uint64_t sent_ns, again_ns;
	int tries;
};

#define TRIALS_MAX MASQ_ATTEMPTS

/*
 * Makes all of them at once and waits for so long, or until each has its
 * answer. `each`, where it is not NULL, is told how many have. 0, or -errno,
 * printed: then nothing is known of any.
 */
int trials_run(struct instance *instance, struct trial *trials, size_t count,
	       unsigned int timeout_ms, void (*each)(void *data, size_t done),
	       void *data);

#endif
