/* SPDX-License-Identifier: GPL-2.0-only */
/* watch.h - one `masqbpf watch` at work. */
#ifndef MASQ_CLI_WATCH_H
#define MASQ_CLI_WATCH_H

#include <stdint.h>
#include <time.h>
#include "plane/flows.h"
#include "plane/instance.h"
#include "policy/policy.h"

#define NS_PER_SEC 1000000000ULL

enum format {
	TEXT,
	JSON,
	VPC_FLOW_LOG
};

/* What --events chooses from; enum masq_event_type and our own. */
enum {
	WATCH_NEW = MASQ_EV_NEW,
	WATCH_END = MASQ_EV_END,
	WATCH_DROP = MASQ_EV_DROP,
	WATCH_POLICY,
	WATCH_MAX,
};

extern const char *const event_names[WATCH_MAX];

struct watch {
	struct instance *instance;
	struct masq_watch *board; /* mmap of the map */
	struct masq_listener *me;
	struct ring_buffer *ring;
	struct policy *policy; /* as last seen; NULL: none yet */
	/* the one after it, and how they differ: to be shown behind what was
	 * before it; NULL: there is none */
	struct policy *next;
	struct plan *plan;
	uint64_t asked_ns; /* the last time for a new one: CLOCK_MONOTONIC */
	struct flow_filter filter;
	enum format format;
	uint32_t events; /* bits of what is shown */
	uint64_t limit, shown; /* limit 0: none */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t lost_ns; /* as of when lost was told */
	uint64_t lost;
	uint32_t read; /* events since the clock was looked at */
};

uint64_t clock_ns(clockid_t clock);

#endif
